"""What can be told of a Hugging Face model without running it: where it lies, whether it is safe, what its labels mean.

Needs no torch, so that `soundings check` tells every problem on a machine without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from domain.errors import ConfigError
from domain.records import SENTIMENTS

CONFIG = "config.json"
INSTALL = 'pip install "soundings[torch]"'
# What the trained model of Soundings has beside a text classifier.
BRAND_HEAD = "brand.dense.weight"
# Weights as safetensors, and what describes them and cuts the text: no pickle, no code.
_WANTED = ("*.safetensors", "*.json", "*.txt", "*.model")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)
# The header of a safetensors file names its tensors; a larger one is something else.
_MAX_HEADER = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersSettings:
    """How a model of Hugging Face runs.

    `model` is a folder or an id; `labels` maps the model's names for its classes to `SENTIMENTS`; the model's scores
    are divided by `temperature`; `epoch` 0 takes the model's own, where it has one.
    """

    model: str
    labels: Mapping[str, str] = field(default_factory=dict)
    download: bool = False
    temperature: float = 1.0
    epoch: int = 0
    # Threads of one model run on the CPU; 0: one for each core.
    threads: int = 0


def missing_extra() -> str:
    """Say how to install what torch needs; "" when it is there."""
    missing = [name for name in ("torch", "transformers", "safetensors") if find_spec(name) is None]
    return f"{', '.join(missing)} cannot be found; {INSTALL}" if missing else ""


def locate(settings: TransformersSettings) -> Path:
    """Give the folder of the model; fetches it when it is not here and `download` allows it.

    Raises:
        ConfigError: there is no such folder, or no such model on this machine, or it cannot be fetched.
    """
    model = settings.model
    if not model:
        raise ConfigError("engine.model: is empty, expected a folder, or the id of a model on Hugging Face")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(model) or folder.exists():
        raise ConfigError(f"{model}: there is no such folder; looked in {folder.absolute().parent}")
    try:
        return Path(snapshot_download(model, local_files_only=not settings.download, allow_patterns=list(_WANTED)))
    except LocalEntryNotFoundError as exc:
        if settings.download:
            raise ConfigError(f"{model}: is not on this machine and cannot be fetched now ({exc})") from exc
        raise ConfigError(
            f"{model}: there is no such folder here, and no model of this id on this machine; "
            "download = true in [engine] fetches it once"
        ) from exc
    except (HfHubHTTPError, HFValidationError, OSError) as exc:
        raise ConfigError(f"{model}: there is no such folder, and it cannot be fetched ({exc})") from exc


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a model that may be run.

    Raises:
        ConfigError: it is not one, with all that stands in the way.
    """
    if (folder / "weights.bin").is_file():
        raise ConfigError(f'{folder}: found an engine folder; run it with kind = "int8" and folder = ... in [engine]')
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{folder / CONFIG}: cannot be read ({exc.strerror}); expected a Hugging Face model") from exc
    except ValueError as exc:
        raise ConfigError(f"{folder / CONFIG}: not JSON ({exc})") from exc
    if not isinstance(config, dict):
        raise ConfigError(f"{folder / CONFIG}: found no JSON object, expected the description of a model")
    problems = []
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(kind))
        found = (
            f"only pickled weights ({', '.join(pickled)}), which can run code and are never loaded" if pickled else ""
        )
        problems.append(f"{folder}: found {found or 'no weights'}; expected model.safetensors")
    if config.get("auto_map"):
        problems.append(f"{folder}: the model brings its own code, which is never run; choose a model without it")
    made_for = [str(name) for name in config.get("architectures") or []]
    if not any(name.endswith("ForSequenceClassification") for name in made_for):
        found = ", ".join(made_for) or "nothing"
        problems.append(f"{folder / CONFIG}: the model is made for {found}, expected one that classifies texts")
    if config.get("problem_type") not in (None, "single_label_classification"):
        problems.append(f"{folder / CONFIG}: found {config['problem_type']}, expected a model that gives one label")
    if problems:
        raise ConfigError(problems)
    return config


def class_places(config: Mapping[str, Any], labels: Mapping[str, str], model: str) -> tuple[int, ...]:
    """Give for each class of a model which of `SENTIMENTS` it stands for; several classes may stand for the same.

    Raises:
        ConfigError: a class whose meaning is not known, or a label that the model has not; the classes are listed.
    """
    named = config.get("id2label") or {str(number): f"LABEL_{number}" for number in range(2)}
    try:
        names = [str(named[str(number)]) for number in range(len(named))]
    except (KeyError, TypeError) as exc:
        raise ConfigError(f"{model}: id2label of its {CONFIG} does not number its classes from 0") from exc
    meanings = {name: labels.get(name, name.lower()) for name in names}
    problems = []
    unknown = [name for name, meaning in meanings.items() if meaning not in SENTIMENTS]
    if unknown:
        problems.append(
            f"{model}: its labels are {', '.join(names)}; say in [engine.labels] which of {', '.join(SENTIMENTS)} "
            f"these are: {', '.join(unknown)}"
        )
    strangers = [name for name in labels if name not in names]
    if strangers:
        problems.append(f"{model}: has no label {', '.join(strangers)}; its labels are {', '.join(names)}")
    if not problems and len(set(meanings.values())) < 2:
        problems.append(f"{model}: all its labels mean {meanings[names[0]]}, expected two meanings or three")
    if problems:
        raise ConfigError(problems)
    return tuple(SENTIMENTS.index(meanings[name]) for name in names)


def has_brand_head(folder: Path) -> bool:
    """Tell whether the weights are of a model that `enrich.training` wrote. Reads the header only.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _MAX_HEADER:
                raise ConfigError(f"{path}: not a safetensors file")
            return BRAND_HEAD in json.loads(file.read(size))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: not a safetensors file ({exc})") from exc


def problems_of(settings: TransformersSettings) -> list[str]:
    """Tell all that keeps a model from running, without loading or fetching it; empty when nothing does."""
    extra = missing_extra()
    problems = [f"engine.kind: transformers needs an extra: {extra}"] if extra else []
    try:
        folder = locate(settings)
        config = read_config(folder)
        if not has_brand_head(folder):
            class_places(config, settings.labels, settings.model)
    except ConfigError as exc:
        problems += exc.problems
    return problems
