"""A model from elsewhere is looked at before it is run: pickles, foreign code and unknown labels are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConfigError
from enrich.model_folder import TransformersSettings, class_places, has_brand_head, locate, read_config

CLASSIFIER = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}


def model(folder: Path, config: Mapping[str, Any] = CLASSIFIER, weights: str = "model.safetensors") -> Path:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    header = json.dumps({"classifier.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / weights).write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(folder)
    return str(caught.value)


def test_a_classifier_in_safetensors_is_fine(tmp_path: Path) -> None:
    assert read_config(model(tmp_path))["model_type"] == "bert"
    assert not has_brand_head(tmp_path)


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_never_loaded(tmp_path: Path, weights: str) -> None:
    told = refused(model(tmp_path, weights=weights))
    assert f"only pickled weights ({weights})" in told
    assert "expected model.safetensors" in told


def test_code_of_the_model_is_never_run(tmp_path: Path) -> None:
    assert "brings its own code" in refused(model(tmp_path, {**CLASSIFIER, "auto_map": {"AutoModel": "x.Y"}}))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    told = refused(model(tmp_path, {"architectures": ["BertForMaskedLM"], "auto_map": {"a": "b"}}, "pytorch_model.bin"))
    assert "pickled" in told
    assert "own code" in told
    assert "made for BertForMaskedLM, expected one that classifies texts" in told


def test_a_model_that_gives_several_labels_at_once_is_refused(tmp_path: Path) -> None:
    assert "multi_label" in refused(model(tmp_path, {**CLASSIFIER, "problem_type": "multi_label_classification"}))


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_a_description_that_is_none_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert str(tmp_path / "config.json") in refused(tmp_path)


def test_an_engine_folder_is_told_how_to_be_run(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"")
    assert 'kind = "int8"' in refused(tmp_path)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ConfigError, match="not a safetensors file"):
        has_brand_head(tmp_path)


def test_nothing_is_fetched_unless_it_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="download = true"):
        locate(TransformersSettings(model="nobody/this-model-is-not-here"))
    with pytest.raises(ConfigError, match="no such folder; looked in"):
        locate(TransformersSettings(model=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="is empty"):
        locate(TransformersSettings(model=""))


def test_labels_are_found_by_name_and_by_what_they_are_said_to_mean() -> None:
    named = {"id2label": {"0": "Positive", "1": "NEGATIVE", "2": "neutral"}}
    assert class_places(named, {}, "m") == (2, 0, 1)
    stars = {"id2label": {"0": "1 star", "1": "3 stars", "2": "5 stars"}}
    meant = {"1 star": "negative", "3 stars": "neutral", "5 stars": "positive"}
    assert class_places(stars, meant, "m") == (0, 1, 2)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "its labels are LABEL_0, LABEL_1; say in [engine.labels]"),
        ({"LABEL_0": "negative"}, "these are: LABEL_1"),
        ({"LABEL_0": "negative", "LABEL_1": "positive", "LABEL_2": "neutral"}, "has no label LABEL_2"),
        ({"LABEL_0": "negative", "LABEL_1": "negative"}, "all its labels mean negative"),
    ],
)
def test_a_label_without_a_meaning_is_an_error_that_lists_what_was_found(labels: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        class_places({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, labels, "m")
    assert expected in str(caught.value)
