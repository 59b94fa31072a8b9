"""Nothing that the model is measured on may be learnt: neither by id, nor by text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.behaviour import read_set
from domain.text import token_texts
from enrich.clauses import CLAUSES
from enrich.labelled import places_of, read_labelled, read_labelled_brands

# A clause this short is a turn of phrase that anybody uses.
SHORT = 5


def _same(text: str) -> str:
    """Give what two tweets share that say the same: no handles, links, numbers, case or punctuation."""
    return " ".join(token for token in token_texts(re.sub(r"https?://\S+", " ", text)) if token.isalpha())


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


def test_no_clause_of_the_training_stands_in_the_behavioural_set() -> None:
    texts = set()
    for row in read_set():
        text = row.text
        for other in read_set():
            if other.text == row.text:
                for start, end in sorted(places_of(other.brand, text), reverse=True):
                    text = f"{text[:start]} {text[end:]}"
        texts.add(_same(text))
    for clause in CLAUSES:
        said = _same(" ".join(clause.texts))
        if len(said.split()) >= SHORT:
            assert not [text for text in texts if said in text], said
