"""Fine-tune the model on labelled texts of the user's own, into a folder that the engine runs (extra `torch`)."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.records import SENTIMENTS
from enrich.engine import POINTS
from enrich.export import checkpoint_from_engine, export_rows
from enrich.labelled import LabelledBrand, LabelledText
from enrich.onnx_engine import read_description
from enrich.own_data import OwnData, OwnRow
from enrich.training import LabelledRows, TrainingSettings, fit, packaged_encoder

HELD_SHARE = 0.2
# With fewer, neither learning nor measuring a class means anything.
LEAST_ROWS = 5
# A temperature fitted on a few texts that are all right would say 100 % of everything.
_LEAST_TO_FIT = 100
# A trained model needs smaller steps than a fresh one, or it forgets what it knew.
_GENTLE_RATE = 3e-5
_SEED = 20261124


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTraining:
    """What to train. `base` is the engine folder to go on from, None: the packaged encoder, with untrained heads."""

    base: Path | None
    out: Path
    name: str
    epoch: int
    epochs: int = 3


def data_problems(data: OwnData) -> list[str]:
    """Tell which classes have too few rows to be learnt; texts with a brand and texts without are learnt apart."""
    problems = []
    for kind, rows in (("", [r for r in data.rows if not r.brand]), (" towards a brand", _named(data.rows))):
        for place, name in enumerate(SENTIMENTS):
            count = sum(_class(row) == place for row in rows)
            if rows and count < LEAST_ROWS:
                problems.append(f"found {count} rows that are {name}{kind}, expected at least {LEAST_ROWS}")
    return problems or ([] if data.rows else ["no row can be used"])


def unnamed(rows: Sequence[OwnRow]) -> list[OwnRow]:
    """Give the rows whose text does not name their brand: nothing can be learnt from where it stands."""
    return [row for row in rows if row.brand and not row.passage().brands[0]]


def split(rows: Sequence[OwnRow]) -> tuple[list[OwnRow], list[OwnRow]]:
    """Hold out a fifth of each label of texts with and without a brand; the same draw every time.

    A text stands on one side only, however often it is in the rows.
    """
    rng = random.Random(_SEED)  # noqa: S311 -- draws a sample, guards nothing
    of_text: dict[str, list[OwnRow]] = {}
    for row in rows:
        of_text.setdefault(row.text, []).append(row)
    strata: dict[tuple[bool, int], list[list[OwnRow]]] = {}
    for group in of_text.values():
        strata.setdefault((bool(group[0].brand), group[0].label), []).append(group)
    learnt: list[OwnRow] = []
    held: list[OwnRow] = []
    for _, groups in sorted(strata.items()):
        rng.shuffle(groups)
        cut = round(len(groups) * HELD_SHARE)
        held += [row for group in groups[:cut] for row in group]
        learnt += [row for group in groups[cut:] for row in group]
    return learnt, held


def train_own(
    learnt: Sequence[OwnRow], held: Sequence[OwnRow], training: OwnTraining, say: Callable[[str], None]
) -> None:
    """Train and write the engine folder.

    Args:
        learnt: rows to learn: each brand is named in its text, each class occurs.
        held: rows that choose the epoch, fit the temperatures and give the figures in `engine.json`.
        training: see there; `out` is made.
        say: gets a line of progress now and then.

    Raises:
        ConfigError: the base folder is not whole.
    """
    description = read_description(training.base) if training.base else None
    with tempfile.TemporaryDirectory() as scratch:
        start, made = Path(scratch) / "start", Path(scratch) / "made"
        if training.base is not None:
            checkpoint_from_engine(training.base, start)
        rows = _labelled(learnt)
        # A text with a brand gives some lessons on top; an estimate is enough.
        steps = max(1, training.epochs * len(learnt) // TrainingSettings().batch_size)
        settings = TrainingSettings(
            epochs=training.epochs,
            # The average spans a tenth of a short run: over more of it the start would still weigh.
            average_decay=min(TrainingSettings().average_decay, max(0.0, 1 - 10 / steps)),
            seed=_SEED,
        )
        if description is not None:
            settings = replace(settings, learning_rate=_GENTLE_RATE)
        fit(
            rows,
            _labelled(held),
            start if description is not None else packaged_encoder(),
            made,
            settings,
            trained=description is not None,
            say=say,
            say_every=max(1, min(100, steps // 20)),
        )
        strengths = {row.label for row in learnt if row.brand}
        weights: Sequence[float] | None = None
        if len(strengths) < len(POINTS):
            # Nothing was learnt of how strong feelings are: what held before still does.
            weights = description["point_weights"] if description is not None else (1.0,) * len(POINTS)
        training.out.parent.mkdir(parents=True, exist_ok=True)
        export_rows(
            made,
            *_labelled(held),
            training.out,
            name=training.name,
            epoch=training.epoch,
            temperatures=(description["temperature"], description["brand_temperature"]) if description else (1.0, 1.0),
            weights=weights,
            least_rows=_LEAST_TO_FIT,
            early_before=description.get("early") if description else None,
        )


def _named(rows: Sequence[OwnRow]) -> list[OwnRow]:
    return [row for row in rows if row.brand]


def _class(row: OwnRow) -> int:
    return (row.label > 0) - (row.label < 0) + 1


def _labelled(rows: Sequence[OwnRow]) -> LabelledRows:
    """Give rows as training reads them. Ids are of lines: what an id column says need not be unique."""
    texts = [LabelledText(f"text-{row.line}", _class(row), row.text) for row in rows if not row.brand]
    middle = len(POINTS) // 2
    brands = [LabelledBrand(f"brand-{row.line}", row.brand, row.label + middle, row.text) for row in _named(rows)]
    return texts, brands
