"""The ONNX engine: its folder is verified, its memory bounded, its scores those that were shipped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.behaviour import passages_of, read_set
from domain.errors import ConfigError
from enrich.engine import Passage, Prediction, as_three
from enrich.onnx_engine import DESCRIPTION, FILES, SHIPPED_MODEL, WEIGHTS, OnnxEngine, OnnxSettings

TEXTS = (
    "ok",
    "Boarding now, see you on the other side.",
    "Third delay this week and nobody answers the phone. Never again!",
    "The crew was lovely and we landed early, thank you so much!",
    "I waited two hours at the desk, then the app told me my seat was gone. " * 6,
    "@acme \U0001f621\U0001f621 https://example.org/x",
)
# What the exact engine of brand-sentiment-2 said of each when it was shipped: negative, neutral, positive.
SHIPPED = (
    (0.26339, 0.52431, 0.2123),
    (0.1738, 0.57434, 0.25186),
    (0.85843, 0.07886, 0.06271),
    (0.12555, 0.07602, 0.79843),
    (0.69899, 0.1933, 0.10771),
    (0.79386, 0.16383, 0.0423),
)
SHIPPED_WEIGHTS = "54b1a7c595713e687752522cff85027f3c68c8962d8ec4e45e03b25547b1a2be"
# The same of "I left Acme for Globex and never looked back.", five points towards each.
LEFT = Passage("I left Acme for Globex and never looked back.", (((7, 11),), ((16, 22),)))
SHIPPED_TOWARDS = (
    (0.51164, 0.34241, 0.01242, 0.05175, 0.08178),
    (0.23705, 0.15641, 0.03787, 0.2691, 0.29958),
)


def _read(engine: OnnxEngine, texts: Sequence[str]) -> Prediction:
    return engine.predict([Passage(text) for text in texts])


def _engine(
    folder: Path = SHIPPED_MODEL, *, exact: bool = False, cache_size: int = 0, batch_tokens: int = 512
) -> OnnxEngine:
    settings = OnnxSettings(folder=folder, exact=exact, cache_size=cache_size, batch_tokens=batch_tokens, threads=1)
    return OnnxEngine(settings)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Give a copy of the shipped folder, to be spoilt."""
    return shutil.copytree(SHIPPED_MODEL, tmp_path / "model")


def test_the_exact_engine_gives_the_scores_that_were_shipped() -> None:
    """Another tokeniser, text preparation or runtime that changed them would show here."""
    np.testing.assert_allclose(_read(_engine(exact=True), TEXTS).probs, SHIPPED, atol=1e-4)
    np.testing.assert_allclose(_engine(exact=True).predict([LEFT]).towards, SHIPPED_TOWARDS, atol=1e-4)


def test_the_weights_are_those_that_were_shipped() -> None:
    """A new model gets a new name and epoch, and new figures in its card."""
    digest = hashlib.sha256((SHIPPED_MODEL / WEIGHTS).read_bytes()).hexdigest()
    assert digest == SHIPPED_WEIGHTS


@pytest.mark.parametrize("exact", [False, True])
def test_batches_side_by_side_give_the_scores_of_one_after_the_other(exact: bool) -> None:
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS]
    together = _read(OnnxEngine(OnnxSettings(exact=exact, threads=3, cache_size=0, batch_tokens=64)), texts).probs
    np.testing.assert_allclose(together, _read(_engine(exact=exact, batch_tokens=64), texts).probs, atol=1e-5)


@pytest.mark.parametrize("exact", [False, True])
def test_padding_changes_no_score(exact: bool) -> None:
    """A graph that forgot the attention mask would change short texts beside a long one."""
    padded = _read(_engine(exact=exact, batch_tokens=100_000), TEXTS).probs
    alone = _read(_engine(exact=exact, batch_tokens=1), TEXTS).probs
    np.testing.assert_allclose(padded, alone, atol=1e-5)


def test_8_bit_arithmetic_and_its_early_exit_give_the_labels_of_exact() -> None:
    """The scores of an easy text are those half-way; its label is the one at the end in all but a few."""
    passages = passages_of(read_set())
    fast, exact = _engine().predict(passages), _engine(exact=True).predict(passages)
    same = fast.probs.argmax(axis=1) == exact.probs.argmax(axis=1)
    assert same.mean() >= 0.98
    towards = as_three(fast.towards).argmax(axis=1) == as_three(exact.towards).argmax(axis=1)
    assert towards.mean() >= 0.98


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused_by_name(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name}: found SHA-256 [0-9a-f]{{64}}, expected"):
        _engine(copied)


@pytest.mark.parametrize("name", [*FILES, DESCRIPTION])
def test_a_missing_file_is_refused_with_what_to_do(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(ConfigError, match=rf"(?s){name}.*Install Soundings again"):
        _engine(copied)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"labels": ["positive", "neutral", "negative"]}, "found labels"),
        ({"temperature": 0}, "temperatures > 0"),
        ({"brand_temperature": -1}, "temperatures > 0"),
        ({"temperature": "warm"}, "wrong type"),
        ({"max_tokens": 2}, "max_tokens >= 3"),
        ({"sha256": {}}, "expected the SHA-256 of weights.bin, found none"),
        ({"sha256": 3}, "not a model description"),
    ],
)
def test_a_wrong_description_is_refused(copied: Path, change: dict[str, object], complaint: str) -> None:
    path = copied / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=complaint):
        _engine(copied)


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}'])
def test_a_description_that_is_none_is_refused(copied: Path, content: str) -> None:
    (copied / DESCRIPTION).write_text(content)
    with pytest.raises(ConfigError, match="not a model description"):
        _engine(copied)


def test_a_repeated_text_is_scored_once() -> None:
    engine = _engine(cache_size=100)
    first = _read(engine, ["ok", "ok", "fine"]).probs
    again = _read(engine, ["fine", "ok"]).probs
    counts = engine.cache_counts
    assert (counts.hits, counts.misses, counts.size) == (3, 2, 2)
    np.testing.assert_array_equal(again, first[[2, 0]])


def test_texts_that_differ_only_in_handles_and_links_are_the_same_to_the_model() -> None:
    engine = _engine(cache_size=100)
    _read(engine, ["@one late again https://example.org/1", "@two late again https://example.org/2"])
    assert engine.cache_counts.misses == 1


def test_the_memory_of_texts_is_bounded_and_forgets_the_least_recently_used() -> None:
    engine = _engine(cache_size=2)
    _read(engine, ["one"])
    _read(engine, ["two"])
    _read(engine, ["one"])
    _read(engine, ["three"])
    assert engine.cache_counts.size == 2
    before = engine.cache_counts.misses
    _read(engine, ["one"])
    assert engine.cache_counts.misses == before
    _read(engine, ["two"])
    assert engine.cache_counts.misses == before + 1


def test_a_text_cut_by_characters_is_truncated_even_when_the_rest_is_one_word() -> None:
    engine = _engine(cache_size=10)
    link = "https://example.org/" + "a" * 20_000
    assert _read(engine, [link, "late"]).truncated.tolist() == [True, False]


def test_the_name_tells_the_arithmetic() -> None:
    assert [_engine().name, _engine(exact=True).name] == ["brand-sentiment-2/int8", "brand-sentiment-2/fp32"]
