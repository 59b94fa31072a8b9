"""The encoder as an ONNX graph, written operator by operator from a checkpoint's weights (extra `torch`).

Nothing is traced, so no attention mask can vanish. Two graphs share one file of weights: `int8` multiplies in
8-bit integers, `exact` turns the same 8-bit weights into float32 first. Both quantise or multiply each token on
its own, so a text's scores do not depend on the texts beside it in a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Arithmetic: TypeAlias = Literal["int8", "exact"]
Array: TypeAlias = npt.NDArray[Any]

OPSET = 20
# The oldest file format that has opset 20, so that older runtimes can read it.
IR_VERSION = 9
CONTRIB = "com.microsoft"
# Suffixes of a quantised weight in the weights file; a bias or norm keeps its plain name.
INT8, SCALE = ".int8", ".scale"
# Added to the scores of padding before the softmax: exp() of it is exactly 0 in float32.
MASKED = -1e9
# Activations are stored as unsigned bytes around a fixed zero; the step is chosen for each token.
ZERO_POINT = 128
# GELU never gives less than -0.17, so its bytes keep 16 steps below zero and 239 above: a step of at least
# 0.17/16 covers the negative side, which needs a maximum of at least 239 * 0.17/16.
GELU_ZERO_POINT = 16
GELU_LEAST_MAXIMUM = (255 - GELU_ZERO_POINT) * 0.17 / GELU_ZERO_POINT
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


@dataclass(slots=True)
class _Row:
    """Token rows ready to be multiplied: float32, or bytes with a step per row."""

    values: str
    step: str | None = None
    zero_point: str | None = None


@dataclass(slots=True)
class _Builder:
    """Writes operators one after the other; every tensor is shape (rows, columns) outside attention."""

    arithmetic: Arithmetic
    packed: Mapping[str, Array]
    places: Mapping[str, Stored]
    weights_file: str
    nodes: list[Any] = field(default_factory=list)
    initialisers: dict[str, Any] = field(default_factory=dict)

    def op(self, kind: str, inputs: list[str], *, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add one operator and give its (first) output's name."""
        name = f"{kind}_{len(self.nodes)}"
        names = [name] + [f"{name}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, domain=domain, **attributes))
        return name

    def constant(self, name: str, value: Array | float | list[int]) -> str:
        """Add a small constant inside the graph file; integers become int64, numbers float32."""
        if name not in self.initialisers:
            array = np.asarray(value)
            if array.dtype == np.float64:
                array = array.astype(np.float32)
            self.initialisers[name] = numpy_helper.from_array(array, name)
        return name

    def weight(self, name: str) -> str:
        """Refer to a tensor of the weights file."""
        if name not in self.initialisers:
            array, place = self.packed[name], self.places[name]
            tensor = TensorProto(
                name=name,
                dims=array.shape,
                data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
                data_location=TensorProto.EXTERNAL,
            )
            for key, value in (("location", self.weights_file), ("offset", place.offset), ("length", place.length)):
                tensor.external_data.add(key=key, value=str(value))
            self.initialisers[name] = tensor
        return name

    def rows(self, x: str, *, after_gelu: bool = False) -> _Row:
        """Prepare token rows for `linear`: each row gets its own step, so no row sees another."""
        if self.arithmetic == "exact":
            return _Row(x)
        last = self.constant("last_axis", [-1])
        if after_gelu:
            zero, span = GELU_ZERO_POINT, 255 - GELU_ZERO_POINT
            reach = self.op("ReduceMax", [x, last], keepdims=1)
            reach = self.op("Max", [reach, self.constant("gelu_least_maximum", GELU_LEAST_MAXIMUM)])
        else:
            zero, span = ZERO_POINT, 127
            reach = self.op("ReduceMax", [self.op("Abs", [x]), last], keepdims=1)
            reach = self.op("Max", [reach, self.constant("least_maximum", 1e-9)])
        step = self.op("Mul", [reach, self.constant(f"one_by_{span}", 1 / span)])
        flat = self.op("Reshape", [step, last])
        zero_point = self.constant(f"zero_{zero}", np.array(zero, dtype=np.uint8))
        zeros = self.op("Expand", [zero_point, self.op("Shape", [flat])])
        return _Row(self.op("QuantizeLinear", [x, flat, zeros], axis=0), step, zero_point)

    def linear(self, x: _Row, name: str) -> str:
        """Give `x @ w + b`."""
        bias = self.weight(f"{name}.bias")
        weight, scale = self.weight(f"{name}.weight{INT8}"), self.weight(f"{name}.weight{SCALE}")
        if x.step is None or x.zero_point is None:
            # Both inputs are constant: the runtime folds them into one float32 matrix when it loads the graph.
            whole = self.op("Mul", [self.op("Cast", [weight], to=TensorProto.FLOAT), scale])
            return self.op("Add", [self.op("MatMul", [x.values, whole]), bias])
        one = self.constant("one", 1.0)
        y = self.op("MatMulIntegerToFloat", [x.values, weight, one, scale, x.zero_point], domain=CONTRIB)
        return self.op("Add", [self.op("Mul", [y, x.step]), bias])

    def norm(self, x: str, name: str, epsilon: float) -> str:
        """Normalise each row."""
        inputs = [x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.op("LayerNormalization", inputs, axis=-1, epsilon=epsilon)


def _layer(b: _Builder, encoder: Encoder, number: int, x: str, split: str, mask: str) -> str:
    """Add one encoder layer. The last one follows the tokens in `asked` only: nothing else of it is read."""
    prefix = f"bert.encoder.layer.{number}."
    head = encoder.hidden // encoder.heads
    every = b.rows(x)
    asking, asking_split, skip = every, split, x
    if number == encoder.layers - 1:
        cube = b.op("Reshape", [x, b.op("Concat", ["shape", b.constant("hidden", [encoder.hidden])], axis=0)])
        places = b.op("Unsqueeze", ["asked", b.constant("last_axis", [-1])])
        skip = b.op(
            "Reshape", [b.op("GatherND", [cube, places], batch_dims=1), b.constant("rows", [-1, encoder.hidden])]
        )
        asking_split = b.op("Concat", ["asked_shape", b.constant("heads", [encoder.heads, head])], axis=0)
        asking = b.rows(skip)

    def heads(rows: _Row, name: str, shape: str, order: list[int]) -> str:
        projected = b.linear(rows, f"{prefix}attention.self.{name}")
        return b.op("Transpose", [b.op("Reshape", [projected, shape])], perm=order)

    query = heads(asking, "query", asking_split, [0, 2, 1, 3])
    key = heads(every, "key", split, [0, 2, 3, 1])
    value = heads(every, "value", split, [0, 2, 1, 3])
    scores = b.op("MatMul", [b.op("Mul", [query, b.constant("temper", head**-0.5)]), key])
    shares = b.op("Softmax", [b.op("Add", [scores, mask])], axis=-1)
    mixed = b.op("Transpose", [b.op("MatMul", [shares, value])], perm=[0, 2, 1, 3])
    mixed = b.op("Reshape", [mixed, b.constant("rows", [-1, encoder.hidden])])

    # Plain operators: the runtime's fused ones (skip + norm, bias + GELU) take two to five times as long (measured).
    mixed = b.op("Add", [b.linear(b.rows(mixed), f"{prefix}attention.output.dense"), skip])
    x = b.norm(mixed, f"{prefix}attention.output.LayerNorm", encoder.layer_norm_eps)
    wide = b.op("Gelu", [b.linear(b.rows(x), f"{prefix}intermediate.dense")])
    y = b.op("Add", [b.linear(b.rows(wide, after_gelu=True), f"{prefix}output.dense"), x])
    return b.norm(y, f"{prefix}output.LayerNorm", encoder.layer_norm_eps)


def write_graph(
    path: Path,
    arithmetic: Arithmetic,
    encoder: Encoder,
    packed: Mapping[str, Array],
    places: Mapping[str, Stored],
    weights_file: str,
) -> None:
    """Write one graph.

    Inputs: `input_ids` and `attention_mask`, int64 (batch, length); `asked`, int64 (batch, slots): the tokens whose
    last state is read, [CLS] first, filled up with 0; `shares`, float32 (batch, brands, slots): how much of each
    slot a brand's feeling is read from, rows summing to 1. Outputs: `logits`, float32 (batch, labels), of the whole
    text, and `towards`, float32 (batch, brands, points).

    Args:
        path: the `.onnx` file; the weights file lies beside it.
        arithmetic: `int8` or `exact`.
        encoder: shape of the model.
        packed: see `packed_weights`.
        places: see `write_weights`.
        weights_file: name of the weights file.
    """
    b = _Builder(arithmetic, packed, places, weights_file)
    words, embeddings = "bert.embeddings.word_embeddings.weight", "bert.embeddings."
    b.nodes.append(helper.make_node("Shape", ["input_ids"], ["shape"], name="shape"))
    b.nodes.append(helper.make_node("Shape", ["asked"], ["asked_shape"], name="asked_shape"))
    length = b.op("Shape", ["input_ids"], start=1, end=2)
    begin = b.constant("begin", [0])
    picked = b.op("Cast", [b.op("Gather", [b.weight(words + INT8), "input_ids"])], to=TensorProto.FLOAT)
    x = b.op("Mul", [picked, b.op("Gather", [b.weight(words + SCALE), "input_ids"])])
    x = b.op("Add", [x, b.op("Slice", [b.weight(f"{embeddings}position_embeddings.weight"), begin, length, begin])])
    x = b.op("Reshape", [x, b.constant("rows", [-1, encoder.hidden])])
    x = b.norm(x, f"{embeddings}LayerNorm", encoder.layer_norm_eps)

    mask = b.op("Sub", [b.constant("one", 1.0), b.op("Cast", ["attention_mask"], to=TensorProto.FLOAT)])
    mask = b.op("Mul", [mask, b.constant("masked", MASKED)])
    mask = b.op("Unsqueeze", [mask, b.constant("inner_axes", [1, 2])])
    head = encoder.hidden // encoder.heads
    split = b.op("Concat", ["shape", b.constant("heads", [encoder.heads, head])], axis=0)
    for number in range(encoder.layers):
        x = _layer(b, encoder, number, x, split, mask)

    width = b.constant("hidden", [encoder.hidden])
    states = b.op("Reshape", [x, b.op("Concat", ["asked_shape", width], axis=0)])
    first = b.op("Gather", [states, b.constant("first", np.array(0))], axis=1)
    pooled = b.op("Tanh", [b.linear(b.rows(first), "bert.pooler.dense")])
    last = [b.weight("classifier.weight"), b.weight("classifier.bias")]
    b.nodes.append(helper.make_node("Gemm", [pooled, *last], ["logits"], name="logits", transB=1))

    named = b.op("MatMul", ["shares", states])
    whole = b.op("Expand", [b.op("Unsqueeze", [first, b.constant("second_axis", [1])]), b.op("Shape", [named])])
    both = b.op("Concat", [named, whole], axis=-1)
    both = b.op("Reshape", [both, b.constant("double_rows", [-1, 2 * encoder.hidden])])
    felt = b.op("Tanh", [b.linear(b.rows(both), "brand.dense")])
    points = b.op("Gemm", [felt, b.weight("brand.classifier.weight"), b.weight("brand.classifier.bias")], transB=1)
    asked_of = b.op("Shape", ["shares"], start=0, end=2)
    points_shape = b.op("Concat", [asked_of, b.constant("points", [encoder.points])], axis=0)
    b.nodes.append(helper.make_node("Reshape", [points, points_shape], ["towards"], name="towards"))

    int64, float32 = TensorProto.INT64, TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("input_ids", int64, ["batch", "length"]),
        helper.make_tensor_value_info("attention_mask", int64, ["batch", "length"]),
        helper.make_tensor_value_info("asked", int64, ["batch", "slots"]),
        helper.make_tensor_value_info("shares", float32, ["batch", "brands", "slots"]),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", float32, ["batch", encoder.labels]),
        helper.make_tensor_value_info("towards", float32, ["batch", "brands", encoder.points]),
    ]
    graph = helper.make_graph(b.nodes, arithmetic, inputs, outputs, list(b.initialisers.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())


def read_packed(graph_file: Path) -> dict[str, Array]:
    """Read the named weights back from a graph and its weights file; the small constants are left out."""
    model = onnx.load(str(graph_file))
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name.startswith(("bert.", "brand.", "classifier."))
    }
