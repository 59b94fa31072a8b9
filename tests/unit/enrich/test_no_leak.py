"""Nothing that the model is measured on may be learnt: neither by id, nor by text."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from bench.behaviour import read_set
from domain.text import token_texts
from enrich.clauses import CLAUSES
from enrich.contrasts import contrast
from enrich.labelled import places_of, read_labelled, read_labelled_brands

# A clause this short is a turn of phrase that anybody uses.
SHORT = 5


def _same(text: str) -> str:
    """Give what two tweets share that say the same: no handles, links, numbers, case or punctuation."""
    text = re.sub(r"['\u2019]", "", re.sub(r"https?://\S+", " ", text))
    return " ".join(token for token in token_texts(text) if token.isalpha())


@pytest.mark.parametrize("held", ["sentiment", "brand-sentiment"])
@pytest.mark.parametrize("learnt", ["sentiment", "brand-sentiment"])
def test_no_development_row_stands_in_a_training_file(shared_data: Path, learnt: str, held: str) -> None:
    def rows(folder: str, part: str) -> list[tuple[str, str]]:
        path = shared_data / folder / f"{part}.tsv.gz"
        found = read_labelled(path) if folder == "sentiment" else read_labelled_brands(path)
        return [(row.id, row.text) for row in found]

    train, dev = rows(learnt, "train"), rows(held, "dev")
    assert not {row[0] for row in train} & {row[0] for row in dev}
    # Short texts ("good morning") are said by many; a tweet of six words and more is not.
    said = {text for _, raw in train if len((text := _same(raw)).split()) > SHORT}
    assert not said & {_same(raw) for _, raw in dev}


@pytest.fixture(scope="module")
def behavioural() -> set[str]:
    """The texts of the behavioural set, without their brands."""
    rows, texts = read_set(), set()
    for row in rows:
        text = row.text
        for other in rows:
            if other.text == row.text:
                for start, end in sorted(places_of(other.brand, text), reverse=True):
                    text = f"{text[:start]} {text[end:]}"
        texts.add(_same(text))
    return texts


def test_no_clause_of_the_training_stands_in_the_behavioural_set(behavioural: set[str]) -> None:
    for clause in CLAUSES:
        said = _same(" ".join(clause.texts))
        if len(said.split()) >= SHORT:
            assert not [text for text in behavioural if said in text], said


def test_no_part_of_a_post_that_training_makes_up_stands_in_the_behavioural_set(behavioural: set[str]) -> None:
    """What stands between two brands, or before or after them, in thirty thousand draws."""
    rng = random.Random(7)
    parts = {_same(part) for _ in range(30_000) for part in contrast(rng).texts}
    assert len(parts) > 10_000
    texts = " | ".join(behavioural)
    assert not [part for part in parts if len(part.split()) >= SHORT and part in texts]


def test_a_post_that_training_makes_up_names_every_brand_it_has_a_label_for() -> None:
    rng = random.Random(11)
    for _ in range(20_000):
        post = contrast(rng)
        assert len(post.texts) == len(post.brands) + 1
        assert set(post.brands) == set(range(len(post.labels)))
        assert {*post.labels, post.whole} <= {-1, 0, 1, None}
        assert not re.search(r"[<{][^ ]{1,5}[>}]", "".join(post.texts))
