"""What every SentimentEngine promises: one suite, run on each implementation.

Another implementation is one more line in `ENGINES`. Those of the extra `torch` run where it is installed
(`make test-torch` installs it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.hugging_face import LABELS, TORCH_IS_HERE, foreign_model, own_checkpoint

from domain.errors import BadReason, BadRecord
from domain.ids import MAX_MODEL_EPOCH
from domain.records import SENTIMENTS
from enrich.engine import NO_TEXT_PROBS, POINTS, Passage, Prediction, SentimentEngine, as_five
from enrich.onnx_engine import OnnxEngine, OnnxSettings
from enrich.tiny_engine import TinyEngine


def _transformers(folder: Path, labels: dict[str, str]) -> SentimentEngine:
    from enrich.model_folder import TransformersSettings
    from enrich.transformers_engine import build_transformers_engine

    return build_transformers_engine(TransformersSettings(model=str(folder), labels=labels))


ENGINES: dict[str, Callable[[Path], SentimentEngine]] = {
    "tiny": lambda _: TinyEngine(),
    "int8": lambda _: OnnxEngine(OnnxSettings(threads=1)),
    "exact": lambda _: OnnxEngine(OnnxSettings(threads=1, exact=True)),
    "int8 without cache": lambda _: OnnxEngine(OnnxSettings(threads=1, cache_size=0)),
    "exact without cache": lambda _: OnnxEngine(OnnxSettings(threads=1, exact=True, cache_size=0)),
}
OF_TORCH: dict[str, Callable[[Path], SentimentEngine]] = {
    "transformers, any model": lambda folder: _transformers(foreign_model(folder), LABELS),
    "transformers, own checkpoint": lambda folder: _transformers(own_checkpoint(folder), {}),
}
# `make test-torch` runs the suite where the extra is installed; without it there is nothing of these to run.
PARAMETERS = [pytest.param(build, id=name) for name, build in (ENGINES | (OF_TORCH if TORCH_IS_HERE else {})).items()]

GOOD = "Thank you, what a wonderful flight and a lovely crew!"
PLAIN = "The gate opens at nine."
BAD = "Terrible service, my flight was late and they lost my bag. The worst airline."
HOSTILE = (
    "\U0001f621",
    "\U0001f621" * 500,
    "ok",
    "so late " * 700,
    " ".join(f"@somebody{i}" for i in range(100)),
    "a" * 40_000,
    "\x00\x01 zero \x00",
    "‮drawkcab‬ ​​",
    "https://example.org/" + "a/" * 3_000,
    "漢字" * 300,
    "𝓯𝓪𝓷𝓬𝔂",
    "á̶̧̢" * 200,
    "�",
)


# Two brands of which each text names one or both, and one that it does not name.
LEFT = Passage("I left Acme for Globex and never looked back.", (((7, 11),), ((16, 22),)))
TWICE = Passage("Acme again: late. Never Acme! Globex was fine.", (((0, 4), (24, 28)), ((30, 36),), ()))


def _of_texts(engine: SentimentEngine, texts: Sequence[str]) -> Prediction:
    return engine.predict([Passage(text) for text in texts])


@pytest.fixture(scope="module", params=PARAMETERS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SentimentEngine:
    build: Callable[[Path], SentimentEngine] = request.param
    return build(tmp_path_factory.mktemp("engine"))


def test_each_text_gets_a_row_of_probabilities_that_sum_to_one(engine: SentimentEngine) -> None:
    found = _of_texts(engine, [GOOD, PLAIN, BAD, *HOSTILE])
    assert found.probs.shape == (3 + len(HOSTILE), len(SENTIMENTS))
    assert found.probs.dtype == np.float32
    assert found.truncated.shape == (3 + len(HOSTILE),)
    assert found.truncated.dtype == np.bool_
    assert np.all(found.probs >= 0)
    np.testing.assert_allclose(found.probs.sum(axis=1), 1, atol=1e-5)


def test_columns_stand_in_the_order_of_sentiments(engine: SentimentEngine) -> None:
    labels = [SENTIMENTS[i] for i in _of_texts(engine, [BAD, PLAIN, GOOD]).probs.argmax(axis=1)]
    assert labels == ["negative", "neutral", "positive"]


def test_no_texts_give_no_rows(engine: SentimentEngine) -> None:
    found = _of_texts(engine, [])
    assert found.probs.shape == (0, len(SENTIMENTS))
    assert found.truncated.shape == (0,)


def test_scores_do_not_depend_on_batch_mates_order_or_repeats(engine: SentimentEngine) -> None:
    """A replay cuts other batches than the first run did, and must give the same scores."""
    texts = [GOOD, PLAIN, BAD, *HOSTILE]
    together = _of_texts(engine, texts).probs
    alone = np.concatenate([_of_texts(engine, [text]).probs for text in texts])
    backwards = _of_texts(engine, texts[::-1]).probs[::-1]
    twice = _of_texts(engine, texts + texts).probs
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(backwards, together, atol=1e-5)
    np.testing.assert_allclose(twice, np.concatenate([together, together]), atol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "\n\t ​".strip("​")])
def test_a_text_without_words_is_neutral_without_leaning(engine: SentimentEngine, text: str) -> None:
    np.testing.assert_allclose(_of_texts(engine, [GOOD, text]).probs[1], NO_TEXT_PROBS, atol=1e-6)


def test_only_long_texts_are_marked_as_truncated(engine: SentimentEngine) -> None:
    assert _of_texts(engine, [GOOD, "so late " * 700, ""]).truncated.tolist() == [False, True, False]


def test_a_text_that_is_not_unicode_is_a_bad_record_and_harms_nothing_after_it(engine: SentimentEngine) -> None:
    before = _of_texts(engine, [GOOD]).probs
    with pytest.raises(BadRecord) as caught:
        _of_texts(engine, [GOOD, "half a pair: \ud83d"])
    assert caught.value.reason is BadReason.ENGINE_FAILED
    np.testing.assert_array_equal(_of_texts(engine, [GOOD]).probs, before)


def test_name_epoch_and_decimals_can_be_stored(engine: SentimentEngine) -> None:
    assert engine.name
    assert 0 <= engine.epoch <= MAX_MODEL_EPOCH
    assert 1 <= engine.decimals <= 7


def test_each_brand_gets_a_row_of_five_points_in_the_order_asked(engine: SentimentEngine) -> None:
    found = engine.predict([LEFT, Passage(PLAIN), TWICE])
    assert found.towards.shape == (5, len(POINTS))
    assert found.towards.dtype == np.float32
    np.testing.assert_allclose(found.towards.sum(axis=1), 1, atol=1e-5)
    alone = np.concatenate([engine.predict([passage]).towards for passage in (LEFT, TWICE)])
    np.testing.assert_allclose(alone, found.towards, atol=1e-5)


def test_a_brand_that_is_not_named_gets_the_posts_own_probabilities(engine: SentimentEngine) -> None:
    found = engine.predict([TWICE])
    np.testing.assert_allclose(found.towards[2:], as_five(found.probs), atol=1e-6)


def test_a_brand_named_beyond_the_cut_gets_the_posts_own_probabilities(engine: SentimentEngine) -> None:
    text = "so late " * 3_000 + "Acme"
    found = engine.predict([Passage(text, (((len(text) - 4, len(text)),),))])
    assert found.truncated.tolist() == [True]
    np.testing.assert_allclose(found.towards, as_five(found.probs), atol=1e-6)


def test_what_a_brand_is_called_changes_nothing(engine: SentimentEngine) -> None:
    """Unless its name is a word of feeling, which only an engine that reads names could mistake."""
    other = Passage(LEFT.text.replace("Acme", "Ye Olde Shoppe"), (((7, 21),), ((26, 32),)))
    np.testing.assert_allclose(engine.predict([other]).towards, engine.predict([LEFT]).towards, atol=1e-5)


def test_brands_that_share_a_place_share_its_feeling(engine: SentimentEngine) -> None:
    text = "Terrible service at Acme Air, never again"
    found = engine.predict([Passage(text, (((20, 24),), ((20, 28),)))]).towards
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_a_hundred_brands_in_a_row_are_each_told(engine: SentimentEngine) -> None:
    text = " ".join(f"@brand{number:03}" for number in range(100)) + " thank you all"
    places = tuple(((number * 10, number * 10 + 9),) for number in range(100))
    found = engine.predict([Passage(text, places)]).towards
    assert found.shape == (100, len(POINTS))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
