"""PyTorch and the ONNX graphs say the same of the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.hugging_face import LABELS, foreign_model, own_checkpoint

from enrich.engine import NO_TEXT_PROBS, Passage, as_five
from enrich.onnx_engine import SHIPPED_MODEL, OnnxEngine, OnnxSettings

TEXTS = (
    "ok",
    "The crew was lovely and we landed early, thank you!",
    "Third delay this week and nobody answers the phone. Never again",
    "Boarding now, see you on the other side.",
    "I waited two hours at the desk, then the app told me my seat was gone. " * 20,
    "   ",
    "[SEP] says five characters [MASK]",
)


def test_the_exact_graph_gives_what_pytorch_gives_of_texts_and_brands() -> None:
    from enrich.export import PARITY, check

    found = check(SHIPPED_MODEL)
    assert found["exact_torch"] <= PARITY
    assert max(found["exact_alone"], found["int8_alone"]) <= 1e-5


def test_the_engine_of_a_checkpoint_gives_what_the_exact_engine_gives(tmp_path: Path) -> None:
    from enrich.export import CHECK_PASSAGES
    from enrich.model_folder import TransformersSettings
    from enrich.transformers_engine import build_transformers_engine

    passages = [*CHECK_PASSAGES, Passage(""), Passage("\U0001f621" * 20_000, (((19_999, 20_000),),))]
    engine = build_transformers_engine(TransformersSettings(model=str(own_checkpoint(tmp_path))))
    found, exact = engine.predict(passages), OnnxEngine(OnnxSettings(exact=True)).predict(passages)
    np.testing.assert_allclose(found.probs, exact.probs, atol=1e-4)
    np.testing.assert_allclose(found.towards, exact.towards, atol=1e-4)
    np.testing.assert_array_equal(found.truncated, exact.truncated)
    assert (engine.name, engine.epoch) == ("brand-sentiment-2/torch", OnnxEngine().epoch)


def test_any_model_gives_what_it_gives_by_itself_and_the_same_for_each_brand(tmp_path: Path) -> None:
    """Against transformers' own classes, one text at a time and without padding."""
    import torch
    from transformers import BertForSequenceClassification, BertTokenizerFast

    from enrich.model_folder import TransformersSettings
    from enrich.transformers_engine import build_transformers_engine

    folder = foreign_model(tmp_path)
    settings = TransformersSettings(model=str(folder), labels=LABELS, temperature=1.7)
    found = build_transformers_engine(settings).predict([Passage(text, ((),)) for text in TEXTS])
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder, split_special_tokens=True)
    for row, text in enumerate(TEXTS):
        with torch.inference_mode():
            inputs = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
            expected = (model(**inputs).logits / 1.7).softmax(-1)[0].numpy()
        np.testing.assert_allclose(found.probs[row], expected if text.strip() else NO_TEXT_PROBS, atol=1e-4)
    np.testing.assert_allclose(found.towards, as_five(found.probs), atol=1e-6)
    assert found.truncated.tolist() == [len(text) > 500 for text in TEXTS]


def test_labels_that_mean_the_same_are_summed(tmp_path: Path) -> None:
    from enrich.model_folder import TransformersSettings
    from enrich.transformers_engine import build_transformers_engine

    folder = str(foreign_model(tmp_path))
    three = build_transformers_engine(TransformersSettings(model=folder, labels=LABELS)).predict([Passage(TEXTS[1])])
    merged = LABELS | {"LABEL_1": "negative"}
    two = build_transformers_engine(TransformersSettings(model=folder, labels=merged)).predict([Passage(TEXTS[1])])
    np.testing.assert_allclose(two.probs[0], [three.probs[0, 0] + three.probs[0, 1], 0, three.probs[0, 2]], atol=1e-6)


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    """A head that stays at random would give scores without meaning."""
    from safetensors.numpy import load_file, save_file

    from domain.errors import ConfigError
    from enrich.model_folder import TransformersSettings
    from enrich.transformers_engine import build_transformers_engine

    weights = load_file(foreign_model(tmp_path) / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"not whole: classifier\.weight"):
        build_transformers_engine(TransformersSettings(model=str(tmp_path), labels=LABELS))
