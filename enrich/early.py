"""When a text may be answered half-way: how sure the early heads must be, found on texts that are held out.

A cascade inside one model: what the early heads are sure of need not go through the rest of the layers. Sure enough is
where the answers taken hardly differ from those of the end, so nothing of the labels is lost but a stated share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from enrich.engine import POINTS, Floats, Passage, as_three
from enrich.graph import EarlyExit
from enrich.quality import Labels, fit_temperature, tempered
from enrich.torch_model import BrandSentimentModel, predict
from enrich.word_pieces import WordPieces, question_of

# Of all texts held out, the share that may get another label half-way than at the end: as many as 8-bit arithmetic
# changes (`python -m bench.sentiment`).
MOST_CHANGES = 0.006
# A probability that no answer has.
NEVER = 2.0


@dataclass(frozen=True, slots=True)
class Answered:
    """Passages with their labels, and what the last heads say: of texts (three classes), or of one brand in each.

    `probs` is float, shape (N, 3) or (N, 5), at `temperature`.
    """

    passages: Sequence[Passage]
    gold: Labels
    probs: Floats
    temperature: float


def early_exit(
    model: BrandSentimentModel,
    pieces: WordPieces,
    layers: int,
    texts: Answered,
    brands: Answered,
    *,
    before: Mapping[str, Any] | None,
    least_rows: int,
) -> EarlyExit:
    """Find the temperatures of the early heads, and from when on they are sure enough.

    Args:
        model: with heads after `layers`.
        pieces: what cuts texts for it.
        layers: see there.
        texts: held out texts.
        brands: held out texts with one brand each.
        before: the exit of the model that was trained further, kept where fewer than `least_rows` are held out; None:
            nothing is answered early then.
        least_rows: see there.
    """
    old = dict(before or {})
    found: dict[str, tuple[float, float]] = {}
    for place, (kind, rows) in enumerate((("text", texts), ("brand", brands))):
        if len(rows.passages) < max(1, least_rows):
            found[kind] = old.get(kind, NEVER), old.get(f"{kind}_temperature", rows.temperature)
            continue
        logits = predict(model, pieces.rows([question_of(one) for one in rows.passages]), layers=layers)[place]
        scores = logits.double().numpy()
        temperature = fit_temperature(scores, rows.gold)
        sure, label = _surest(tempered(scores, temperature))
        found[kind] = least_sure(sure, label == _surest(rows.probs)[1], MOST_CHANGES), temperature
    (text, text_temperature), (brand, brand_temperature) = found["text"], found["brand"]
    return EarlyExit(
        text=text,
        brand=brand,
        text_temperature=text_temperature,
        brand_temperature=brand_temperature,
        text_scale=texts.temperature / text_temperature,
        brand_scale=brands.temperature / brand_temperature,
    )


def least_sure(sure: Floats, same: npt.NDArray[np.bool_], most_changes: float) -> float:
    """Give the lowest probability from which on answers may be taken half-way; `NEVER` when none may.

    Args:
        sure: shape (N,), how sure each answer half-way is.
        same: shape (N,), whether it is that of the end.
        most_changes: share of all N that may get another label, in [0, 1].
    """
    order = np.argsort(-sure)
    changes = np.cumsum(~same[order])
    taken = int(np.searchsorted(changes, most_changes * len(sure), side="right"))
    return float(sure[order[taken - 1]]) if taken else NEVER


def _surest(probs: Floats) -> tuple[Floats, Labels]:
    """Give the probability of the likeliest of three classes, and which it is; five points are summed first."""
    three = as_three(probs) if probs.shape[1] == len(POINTS) else probs
    return three.max(axis=1), three.argmax(axis=1)
