"""Easy texts are answered half-way: by whom, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from enrich.engine import Passage
from enrich.onnx_engine import SHIPPED_MODEL, TOKENIZER, OnnxEngine, OnnxSettings, model_inputs

PASSAGES = (
    Passage("ok"),
    Passage("Left Acme for Globex, and Acme did not even ask why", (((5, 9), (26, 30)), ((14, 20),))),
    Passage("Does the lounge of Acme open at six?", (((19, 23),), ())),
    Passage("Third delay this week and nobody answers the phone. " * 3, (((0, 5),),)),
)


class Cascade:
    """A small model at random with heads after its second of four layers, and graphs of it."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import BertConfig, BertModel

        from enrich.torch_model import BrandSentimentModel
        from enrich.weights import Encoder, packed_weights, write_weights
        from enrich.word_pieces import WordPieces, question_of

        torch.manual_seed(3)
        config = BertConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64, initializer_range=0.3
        )
        self.folder = folder
        self.model = BrandSentimentModel(BertModel(config), early=(2,)).eval()
        for matrix in self.model.parameters():
            # What 8 bits hold exactly, so that only the order of additions differs.
            if matrix.dim() == 2:
                step = matrix.detach().abs().amax(1, keepdim=True).clamp(min=1e-9) / 127
                matrix.data = (matrix / step).round().clamp(-127, 127) * step
        self.encoder = Encoder(
            layers=4, hidden=32, heads=4, positions=128, labels=3, points=5, layer_norm_eps=1e-12, early=2
        )
        state = {name: tensor.detach().numpy() for name, tensor in self.model.state_dict().items()}
        self.packed = packed_weights(state, self.encoder)
        self.places = write_weights(self.packed, folder / "weights.bin")
        pieces = WordPieces(SHIPPED_MODEL / TOKENIZER, 128)
        self.rows = sorted(pieces.rows([question_of(one) for one in PASSAGES]), key=lambda row: len(row.ids))

    def run(self, text: float, brand: float) -> tuple[np.ndarray, np.ndarray]:
        """Give logits of texts and brands by the exact arithmetic with an exit."""
        import onnxruntime

        from enrich.graph import EarlyExit, write_graph

        when = EarlyExit(
            text=text, brand=brand, text_temperature=1.0, brand_temperature=1.0, text_scale=1.0, brand_scale=1.0
        )
        path = self.folder / "graph.onnx"
        write_graph(path, "exact", self.encoder, self.packed, self.places, "weights.bin", when)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        logits, towards = session.run(["logits", "towards"], model_inputs(self.rows))
        return logits, towards

    def answers(self, layers: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Give PyTorch's logits of texts, and for each text those of its brands that are named."""
        from enrich.torch_model import predict

        logits, towards = predict(self.model, self.rows, layers=layers)
        brands = iter(towards.numpy())
        return logits.numpy(), [np.array([next(brands) for _ in row.places]) for row in self.rows]


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    return Cascade(tmp_path_factory.mktemp("cascade"))


def _answered_early(cascade: Cascade, found: tuple[np.ndarray, np.ndarray]) -> list[bool]:
    """Tell which texts have the early heads' logits; the others must have the last heads', text and brands alike."""
    soon, late = cascade.answers(2), cascade.answers(4)
    early = []
    for place, row in enumerate(cascade.rows):
        early.append(bool(np.abs(found[0][place] - soon[0][place]).max() < 1e-4))
        expected = soon if early[-1] else late
        np.testing.assert_allclose(found[0][place], expected[0][place], atol=1e-4)
        for brand, named in enumerate(row.places):
            if named:
                np.testing.assert_allclose(found[1][place, brand], expected[1][place][brand], atol=1e-4)
    return early


def _surest(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return (powers / powers.sum(-1, keepdims=True)).max(-1)


def test_nobody_is_sure_enough_or_everybody(cascade: Cascade) -> None:
    assert _answered_early(cascade, cascade.run(2.0, 2.0)) == [False] * 4
    assert _answered_early(cascade, cascade.run(0.0, 0.0)) == [True] * 4


def test_a_text_is_answered_early_when_it_is_sure(cascade: Cascade) -> None:
    sure = _surest(cascade.answers(2)[0])
    for bound in sorted(sure):
        # Just below a value, so that rounding decides nothing.
        assert _answered_early(cascade, cascade.run(bound - 1e-4, 0.0)) == (sure > bound - 1e-4).tolist()


def test_one_unsure_brand_that_is_named_takes_the_whole_text_through(cascade: Cascade) -> None:
    def least(places: Sequence[Sequence[int]], logits: np.ndarray) -> float:
        powers = np.exp(logits)
        probs = powers / powers.sum(-1, keepdims=True)
        three = np.stack([probs[:, :2].sum(1), probs[:, 2], probs[:, 3:].sum(1)], axis=1).max(1)
        return min((float(three[k]) for k, named in enumerate(places) if named), default=1.0)

    soon = cascade.answers(2)
    sure = [least(row.places, soon[1][place]) if row.places else 1.0 for place, row in enumerate(cascade.rows)]
    for bound in sorted(sure)[:-1]:
        expected = [one > bound + 1e-4 for one in sure]
        assert _answered_early(cascade, cascade.run(0.0, bound + 1e-4)) == expected


def test_the_bound_lets_through_as_many_changes_as_allowed() -> None:
    from enrich.early import NEVER, least_sure

    sure = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    same = np.array([True, False, True, False, True])
    assert least_sure(sure, same, 0.0) == 0.9
    assert least_sure(sure, same, 0.2) == 0.7
    assert least_sure(sure, same, 0.4) == 0.5
    assert least_sure(sure, ~same, 0.0) == NEVER


def test_the_shipped_model_answers_most_texts_early_and_keeps_its_labels() -> None:
    """On the behavioural set: int8 with its exit against exact arithmetic through all layers."""
    from bench.behaviour import passages_of, read_set

    passages = passages_of(read_set())
    int8, exact = (OnnxEngine(OnnxSettings(exact=kind, cache_size=0)).predict(passages) for kind in (False, True))
    assert np.mean(int8.probs.argmax(1) == exact.probs.argmax(1)) >= 0.98
