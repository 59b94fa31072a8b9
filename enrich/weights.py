"""The trained weights as one file: matrices in 8 bits, one scale per output (extra `torch`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array: TypeAlias = npt.NDArray[Any]

# Suffixes of a quantised weight in the weights file; a bias or norm keeps its plain name.
INT8, SCALE = ".int8", ".scale"
# External data starts at multiples of this, as the ONNX format recommends for mapping files into memory.
ALIGNMENT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """The shape of a BERT-like encoder with a pooler, a classifier of the text and one of brands in it."""

    layers: int
    hidden: int
    heads: int
    positions: int
    labels: int
    points: int
    layer_norm_eps: float
    # After so many layers the early heads stand; 0: there are none.
    early: int = 0


def quantise(weight: Array) -> tuple[Array, Array]:
    """Round each row of a float matrix to signed bytes with a scale of its own.

    Args:
        weight: float32, shape (rows, columns).

    Returns:
        int8, shape (rows, columns), in [-127, 127], and float32 scales, shape (rows,); a row of zeros has scale 1.
    """
    scale = np.abs(weight).max(axis=1) / 127
    scale[scale == 0] = 1
    scale = scale.astype(np.float32)
    return np.rint(weight / scale[:, None]).clip(-127, 127).astype(np.int8), scale


def packed_weights(state: Mapping[str, Array], encoder: Encoder) -> dict[str, Array]:
    """Give what the weights file holds, by name.

    Matrices are int8 with scales, one per output (per word for the word embeddings), transposed for `x @ w`; the
    classifier, biases and norms stay float32. Position embeddings include token type 0, the only one used, and are
    cut to `encoder.positions`.

    Args:
        state: a checkpoint's tensors by their Hugging Face names.
        encoder: its shape.
    """
    packed: dict[str, Array] = {}
    prefix = "bert.embeddings."
    for name, value in state.items():
        tensor = np.asarray(value, dtype=np.float32)
        if name.startswith("early.") and not name.startswith(f"early.{encoder.early}."):
            # Heads that were trained and are not used.
            continue
        if name == f"{prefix}word_embeddings.weight":
            packed[name + INT8], scale = quantise(tensor)
            packed[name + SCALE] = scale[:, None]
        elif name == f"{prefix}position_embeddings.weight":
            packed[name] = tensor[: encoder.positions] + state[f"{prefix}token_type_embeddings.weight"][0]
        elif (name.startswith(prefix) and tensor.ndim == 2) or name.endswith("position_ids"):
            continue
        elif tensor.ndim == 2 and not name.endswith("classifier.weight"):
            whole, packed[name + SCALE] = quantise(tensor)
            packed[name + INT8] = np.ascontiguousarray(whole.T)
        else:
            packed[name] = tensor
    return packed


def unpacked_weights(packed: Mapping[str, Array]) -> dict[str, Array]:
    """Give the float32 checkpoint that the shipped weights stand for: the inverse of `packed_weights`, rounded."""
    state: dict[str, Array] = {}
    for name, tensor in packed.items():
        if name.endswith(INT8):
            plain = name.removesuffix(INT8)
            scale = packed[plain + SCALE]
            dequantised = tensor.astype(np.float32) * scale
            state[plain] = dequantised if "embeddings" in plain else np.ascontiguousarray(dequantised.T)
        elif not name.endswith(SCALE):
            state[name] = tensor
    hidden = state["bert.embeddings.word_embeddings.weight"].shape[1]
    state["bert.embeddings.token_type_embeddings.weight"] = np.zeros((2, hidden), dtype=np.float32)
    return state


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a tensor lies in the weights file, in bytes."""

    offset: int
    length: int


def write_weights(packed: Mapping[str, Array], path: Path) -> dict[str, Stored]:
    """Write the tensors one after the other, aligned, and give where each lies."""
    places: dict[str, Stored] = {}
    with path.open("wb") as out:
        for name, tensor in packed.items():
            out.write(b"\0" * (-out.tell() % ALIGNMENT if tensor.nbytes >= ALIGNMENT else -out.tell() % 64))
            places[name] = Stored(out.tell(), tensor.nbytes)
            out.write(np.ascontiguousarray(tensor).tobytes())
    return places


def read_packed(graph_file: Path) -> dict[str, Array]:
    """Read the named weights back from a graph and its weights file; the small constants are left out."""
    model = onnx.load(str(graph_file))
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name.startswith(("bert.", "brand.", "classifier.", "early."))
    }
