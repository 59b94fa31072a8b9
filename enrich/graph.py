"""The encoder as an ONNX graph, written operator by operator from a checkpoint's weights (extra `torch`).

Nothing is traced, so no attention mask can vanish. Two graphs share one file of weights: `int8` multiplies in
8-bit integers, `exact` turns the same 8-bit weights into float32 first. Both quantise or multiply each token on
its own, so a text's scores do not depend on the texts beside it in a batch.

`int8` may answer easy texts half-way: heads after some of the layers say how sure they are, and only the texts they
are not sure of go through the rest. `exact` takes every text through all layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from enrich.weights import INT8, SCALE, Array, Encoder, Stored

Arithmetic: TypeAlias = Literal["int8", "exact"]

OPSET = 20
# The oldest file format that has opset 20, so that older runtimes can read it.
IR_VERSION = 9
CONTRIB = "com.microsoft"
# Added to the scores of padding before the softmax: exp() of it is exactly 0 in float32.
MASKED = -1e9
# Activations are stored as unsigned bytes around a fixed zero; the step is chosen for each token.
ZERO_POINT = 128
# GELU never gives less than -0.17, so its bytes keep 16 steps below zero and 239 above: a step of at least
# 0.17/16 covers the negative side, which needs a maximum of at least 239 * 0.17/16.
GELU_ZERO_POINT = 16
GELU_LEAST_MAXIMUM = (255 - GELU_ZERO_POINT) * 0.17 / GELU_ZERO_POINT


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExit:
    """When a text is answered by the early heads: text and every brand that is named are surer than these.

    `text` and `brand` are probabilities of the likeliest of three classes, after dividing logits by the temperatures;
    above 1: never. The early logits are multiplied by `text_scale` and `brand_scale`, so that whoever reads them
    divides by the temperatures of the last heads and gets what the early temperatures give.
    """

    text: float
    brand: float
    text_temperature: float
    brand_temperature: float
    text_scale: float
    brand_scale: float


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


@dataclass(frozen=True, slots=True)
class _Texts:
    """The tensors of the texts that go through a layer: shape (batch, length), what is asked of them, their masks.

    `mask` is what is added to attention scores, `present` is 1.0 where a piece stands, shape (batch, length).
    """

    shape: str
    mask: str
    present: str
    asked: str
    shares: str

    def split(self, b: _Builder, encoder: Encoder) -> str:
        """Give the shape (batch, length, heads, width of a head)."""
        return b.op("Concat", [self.shape, b.constant("heads", _heads_shape(encoder))], axis=0)

    def cube(self, b: _Builder, encoder: Encoder, x: str) -> str:
        """Give rows as (batch, length, hidden)."""
        return b.op("Reshape", [x, b.op("Concat", [self.shape, b.constant("hidden", [encoder.hidden])], axis=0)])

    def asked_states(self, b: _Builder, cube: str) -> str:
        """Give the states of the tokens that are read, shape (batch, slots, hidden)."""
        places = b.op("Unsqueeze", [self.asked, b.constant("last_axis", [-1])])
        return b.op("GatherND", [cube, places], batch_dims=1)

    def only(self, b: _Builder, chosen: str) -> _Texts:
        """Give the texts for which `chosen`, bool (batch), is true."""

        def some(name: str) -> str:
            return b.op("Compress", [name, chosen], axis=0)

        asked, present = some(self.asked), some(self.present)
        return _Texts(b.op("Shape", [present]), some(self.mask), present, asked, some(self.shares))


def _heads_shape(encoder: Encoder) -> list[int]:
    return [encoder.heads, encoder.hidden // encoder.heads]


def _layer(b: _Builder, encoder: Encoder, number: int, x: str, texts: _Texts) -> str:
    """Add one encoder layer. The last one follows the tokens in `asked` only: nothing else of it is read."""
    prefix = f"bert.encoder.layer.{number}."
    rows = b.constant("rows", [-1, encoder.hidden])
    every, split = b.rows(x), texts.split(b, encoder)
    asking, asking_split, skip = every, split, x
    if number == encoder.layers - 1:
        skip = b.op("Reshape", [texts.asked_states(b, texts.cube(b, encoder, x)), rows])
        asked_shape = b.op("Shape", [texts.asked])
        asking_split = b.op("Concat", [asked_shape, b.constant("heads", _heads_shape(encoder))], axis=0)
        asking = b.rows(skip)

    def heads(rows: _Row, name: str, shape: str, order: list[int]) -> str:
        projected = b.linear(rows, f"{prefix}attention.self.{name}")
        return b.op("Transpose", [b.op("Reshape", [projected, shape])], perm=order)

    query = heads(asking, "query", asking_split, [0, 2, 1, 3])
    key = heads(every, "key", split, [0, 2, 3, 1])
    value = heads(every, "value", split, [0, 2, 1, 3])
    temper = b.constant("temper", (encoder.hidden // encoder.heads) ** -0.5)
    scores = b.op("MatMul", [b.op("Mul", [query, temper]), key])
    shares = b.op("Softmax", [b.op("Add", [scores, texts.mask])], axis=-1)
    mixed = b.op("Transpose", [b.op("MatMul", [shares, value])], perm=[0, 2, 1, 3])
    mixed = b.op("Reshape", [mixed, rows])

    # Plain operators: the runtime's fused ones (skip + norm, bias + GELU) take two to five times as long (measured).
    mixed = b.op("Add", [b.linear(b.rows(mixed), f"{prefix}attention.output.dense"), skip])
    x = b.norm(mixed, f"{prefix}attention.output.LayerNorm", encoder.layer_norm_eps)
    wide = b.op("Gelu", [b.linear(b.rows(x), f"{prefix}intermediate.dense")])
    y = b.op("Add", [b.linear(b.rows(wide, after_gelu=True), f"{prefix}output.dense"), x])
    return b.norm(y, f"{prefix}output.LayerNorm", encoder.layer_norm_eps)


def _embedded(b: _Builder, encoder: Encoder) -> str:
    """Add the embeddings of `input_ids`; gives rows."""
    words, embeddings = "bert.embeddings.word_embeddings.weight", "bert.embeddings."
    length = b.op("Shape", ["input_ids"], start=1, end=2)
    begin = b.constant("begin", [0])
    picked = b.op("Cast", [b.op("Gather", [b.weight(words + INT8), "input_ids"])], to=TensorProto.FLOAT)
    x = b.op("Mul", [picked, b.op("Gather", [b.weight(words + SCALE), "input_ids"])])
    x = b.op("Add", [x, b.op("Slice", [b.weight(f"{embeddings}position_embeddings.weight"), begin, length, begin])])
    x = b.op("Reshape", [x, b.constant("rows", [-1, encoder.hidden])])
    return b.norm(x, f"{embeddings}LayerNorm", encoder.layer_norm_eps)


def _head(b: _Builder, encoder: Encoder, name: str, left: str, right: str) -> str:
    """Mix two states side by side and classify them; gives logits of all rows, shape (rows, classes)."""
    both = b.op("Concat", [left, right], axis=-1)
    both = b.op("Reshape", [both, b.constant("double_rows", [-1, 2 * encoder.hidden])])
    mixed = b.op("Tanh", [b.linear(b.rows(both), f"{name}.dense")])
    return b.op("Gemm", [mixed, b.weight(f"{name}.classifier.weight"), b.weight(f"{name}.classifier.bias")], transB=1)


def _towards(b: _Builder, encoder: Encoder, name: str, states: str, first: str, shares: str) -> str:
    """Give the five points of each brand, shape (batch, brands, points), from the states that are read."""
    named = b.op("MatMul", [shares, states])
    whole = b.op("Expand", [b.op("Unsqueeze", [first, b.constant("second_axis", [1])]), b.op("Shape", [named])])
    points = _head(b, encoder, name, named, whole)
    asked_of = b.op("Shape", [shares], start=0, end=2)
    shape = b.op("Concat", [asked_of, b.constant("points", [encoder.points])], axis=0)
    return b.op("Reshape", [points, shape])


@dataclass(frozen=True, slots=True)
class _Answers:
    """Logits of texts, shape (batch, labels), and of brands, shape (batch, brands, points)."""

    logits: str
    towards: str


def _first(b: _Builder, states: str) -> str:
    return b.op("Gather", [states, b.constant("first", np.array(0))], axis=1)


def _last_answers(b: _Builder, encoder: Encoder, x: str, texts: _Texts) -> _Answers:
    """Add the heads after the last layer, whose rows are those of `asked`."""
    shape = b.op("Concat", [b.op("Shape", [texts.asked]), b.constant("hidden", [encoder.hidden])], axis=0)
    states = b.op("Reshape", [x, shape])
    first = _first(b, states)
    pooled = b.op("Tanh", [b.linear(b.rows(first), "bert.pooler.dense")])
    logits = b.op("Gemm", [pooled, b.weight("classifier.weight"), b.weight("classifier.bias")], transB=1)
    return _Answers(logits, _towards(b, encoder, "brand", states, first, texts.shares))


def _early_answers(b: _Builder, encoder: Encoder, x: str, texts: _Texts) -> _Answers:
    """Add the heads half-way; a text is read from the mean of its tokens beside the first."""
    cube = texts.cube(b, encoder, x)
    last, second = b.constant("last_axis", [-1]), b.constant("second_axis", [1])
    weights = b.op("Div", [texts.present, b.op("ReduceSum", [texts.present, last], keepdims=1)])
    mean = b.op("Squeeze", [b.op("MatMul", [b.op("Unsqueeze", [weights, second]), cube]), second])
    name, first = f"early.{encoder.early}", _first(b, cube)
    states = texts.asked_states(b, cube)
    towards = _towards(b, encoder, f"{name}.brand", states, first, texts.shares)
    return _Answers(_head(b, encoder, f"{name}.text", mean, first), towards)


def _unsure(b: _Builder, early: _Answers, texts: _Texts, when: EarlyExit) -> str:
    """Give which texts the early heads cannot answer, bool (batch)."""
    last = b.constant("last_axis", [-1])

    def probs(logits: str, name: str, temperature: float) -> str:
        return b.op("Softmax", [b.op("Mul", [logits, b.constant(name, 1 / temperature)])], axis=-1)

    text = probs(early.logits, "early_text_sharpness", when.text_temperature)
    doubt = b.op("Less", [b.op("ReduceMax", [text, last], keepdims=0), b.constant("early_text", when.text)])
    points = probs(early.towards, "early_brand_sharpness", when.brand_temperature)
    classes = b.constant("classes", np.repeat(np.eye(3, dtype=np.float32), (2, 1, 2), axis=0))
    surest = b.op("ReduceMax", [b.op("MatMul", [points, classes]), last], keepdims=0)
    # A brand that is not named takes the text's own label: nothing was asked about it.
    named = b.op("Greater", [b.op("ReduceMax", [texts.shares, last], keepdims=0), b.constant("nothing", 0.0)])
    doubts = b.op("And", [named, b.op("Less", [surest, b.constant("early_brand", when.brand)])])
    any_doubt = b.op("ReduceMax", [b.op("Cast", [doubts], to=TensorProto.FLOAT), last], keepdims=0)
    return b.op("Or", [doubt, b.op("Greater", [any_doubt, b.constant("nothing", 0.0)])])


def _merged(b: _Builder, early: _Answers, late: _Answers, unsure: str, when: EarlyExit) -> _Answers:
    """Put the late answers of the unsure texts among the early ones."""
    places = b.op("Transpose", [b.op("NonZero", [unsure])], perm=[1, 0])

    def put(soon: str, then: str, name: str, scale: float) -> str:
        return b.op("ScatterND", [b.op("Mul", [soon, b.constant(name, scale)]), places, then])

    return _Answers(
        put(early.logits, late.logits, "early_text_scale", when.text_scale),
        put(early.towards, late.towards, "early_brand_scale", when.brand_scale),
    )


def write_graph(
    path: Path,
    arithmetic: Arithmetic,
    encoder: Encoder,
    packed: Mapping[str, Array],
    places: Mapping[str, Stored],
    weights_file: str,
    early: EarlyExit | None = None,
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
        early: when a text is answered half-way; None: never.
    """
    b = _Builder(arithmetic, packed, places, weights_file)
    x = _embedded(b, encoder)
    present = b.op("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    mask = b.op("Mul", [b.op("Sub", [b.constant("one", 1.0), present]), b.constant("masked", MASKED)])
    mask = b.op("Unsqueeze", [mask, b.constant("inner_axes", [1, 2])])
    texts = _Texts(b.op("Shape", ["input_ids"]), mask, present, "asked", "shares")
    soon, unsure = None, ""
    for number in range(encoder.layers):
        if early is not None and number == encoder.early:
            soon = _early_answers(b, encoder, x, texts)
            unsure = _unsure(b, soon, texts, early)
            x = b.op("Compress", [texts.cube(b, encoder, x), unsure], axis=0)
            x = b.op("Reshape", [x, b.constant("rows", [-1, encoder.hidden])])
            texts = texts.only(b, unsure)
        x = _layer(b, encoder, number, x, texts)
    answers = _last_answers(b, encoder, x, texts)
    if early is not None and soon is not None:
        answers = _merged(b, soon, answers, unsure, early)
    b.nodes.append(helper.make_node("Identity", [answers.logits], ["logits"], name="logits"))
    b.nodes.append(helper.make_node("Identity", [answers.towards], ["towards"], name="towards"))

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
