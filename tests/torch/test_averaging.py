"""The mean of checkpoints: weight by weight, of one recipe, and what each of them was stays written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from domain.errors import ConfigError
from enrich.averaging import average
from enrich.torch_model import BrandSentimentModel, load


def _checkpoint(folder: Path, seed: int, early: Sequence[int] = (1,)) -> Path:
    torch.manual_seed(seed)
    config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=50)
    tokenizer = folder.parent / "tokenizer"
    tokenizer.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tokenizer / name).write_text("{}")
    report = {"settings": {"seed": seed}, "point_weights": [float(seed), 1.0, 1.0, 1.0, 1.0]}
    BrandSentimentModel(BertModel(config), early).save(folder, tokenizer, report)
    return folder


def test_the_mean_counts_each_checkpoint_by_its_share_and_says_what_each_was(tmp_path: Path) -> None:
    first, second = _checkpoint(tmp_path / "a", 1), _checkpoint(tmp_path / "of another run" / "a", 2, early=(1, 2))
    mean = load(average({first: 3.0, second: 1.0}, tmp_path / "mean")).state_dict()
    parts = load(first).state_dict(), load(second).state_dict()
    assert mean.keys() == parts[0].keys()
    for name, found in mean.items():
        torch.testing.assert_close(found, 0.75 * parts[0][name] + 0.25 * parts[1][name])
    report = json.loads((tmp_path / "mean" / "training.json").read_text())
    assert [(one["share"], one["settings"]["seed"]) for one in report["average_of"]] == [(0.75, 1), (0.25, 2)]
    assert report["point_weights"][0] == 1.0


def test_checkpoints_of_another_recipe_and_shares_of_nothing_are_refused(tmp_path: Path) -> None:
    first, other = _checkpoint(tmp_path / "a", 1, early=(1, 2)), _checkpoint(tmp_path / "b", 2)
    with pytest.raises(ConfigError, match=r"has no weights early\.2"):
        average({first: 1.0, other: 1.0}, tmp_path / "mean")
    for shares in ({}, {first: 0.0}):
        with pytest.raises(ConfigError, match="shares above 0"):
            average(shares, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
