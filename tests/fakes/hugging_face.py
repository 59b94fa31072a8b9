"""Models as they lie on disk after a download, made from the shipped weights; needs the extra `torch`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

TORCH_IS_HERE = all(find_spec(name) is not None for name in ("torch", "transformers", "safetensors"))
LABELS = {"LABEL_0": "negative", "LABEL_1": "neutral", "LABEL_2": "positive"}


def own_checkpoint(folder: Path) -> Path:
    """Write the shipped model as `enrich.training` would, with its temperatures beside it."""
    from enrich.export import checkpoint_from_engine
    from enrich.onnx_engine import DESCRIPTION, SHIPPED_MODEL

    checkpoint_from_engine(SHIPPED_MODEL, folder)
    (folder / DESCRIPTION).write_bytes((SHIPPED_MODEL / DESCRIPTION).read_bytes())
    return folder


def foreign_model(folder: Path) -> Path:
    """Write a classifier of texts alone, whose labels have no names."""
    from safetensors.numpy import load_file, save_file

    own_checkpoint(folder)
    (folder / "engine.json").unlink()
    weights = load_file(folder / "model.safetensors")
    kept = {name: values for name, values in weights.items() if not name.startswith(("brand.", "early."))}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"id2label": dict(enumerate(LABELS)), "label2id": {name: k for k, name in enumerate(LABELS)}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
