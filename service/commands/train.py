"""`soundings train`: a sentiment model of one's own, from labelled texts."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigError
from domain.ids import MAX_MODEL_EPOCH
from service.command import Command, add_config, load_settings, positive
from service.commands.evaluate import tell_bad
from service.terminal import safe

if TYPE_CHECKING:
    from enrich.own_data import OwnData

_MOST_EPOCHS = 100


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="labelled texts, as `soundings evaluate` reads them"
    )
    parser.add_argument(
        "--dev", type=Path, metavar="FILE", help="other labelled texts to measure by (default: a fifth of the data)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; must not be there yet")
    parser.add_argument(
        "--epochs",
        type=partial(positive, most=_MOST_EPOCHS),
        default=3,
        metavar="N",
        help="how often each text is read (default 3)",
    )
    parser.add_argument(
        "--from-scratch", action="store_true", help="start from the packaged encoder, which knows nothing of sentiment"
    )
    parser.add_argument("--name", help="name of the model, kept in every mention (default: the folder's)")
    add_config(parser)


def _run(options: Namespace) -> int:
    from enrich.model_folder import INSTALL, missing_extra

    if missing_extra():
        raise ConfigError(f"training needs an extra: {INSTALL}")
    settings = load_settings(options)
    out: Path = options.out
    name = options.name or out.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ConfigError(f"--name: found {name!r}, expected up to 64 letters, digits, dots, hyphens and underscores")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: is already there; --out names a new folder")
    from enrich.onnx_engine import read_description
    from enrich.own_data import read_own_data
    from enrich.own_training import OwnTraining, data_problems, split, train_own
    from service.components import engine_folder

    base = engine_folder(settings.engine)
    epoch = int(read_description(base)["epoch"]) + 1
    if epoch > MAX_MODEL_EPOCH:
        raise ConfigError(f"{base}: its epoch is {epoch - 1}, the highest there is; train from another model")
    data = _usable(options.data, read_own_data(options.data))
    if problems := data_problems(data):
        raise ConfigError([f"{options.data}: {problem}" for problem in problems])
    if options.dev is not None:
        learnt, held = list(data.rows), list(_usable(options.dev, read_own_data(options.dev)).rows)
    else:
        learnt, held = split(data.rows)
    if not held:
        raise ConfigError(f"{options.dev or options.data}: holds no row to measure by")
    say = partial(print, file=sys.stderr, flush=True)
    say(f"train: {len(learnt):,} rows to learn, {len(held):,} to measure by")
    training = OwnTraining(
        base=None if options.from_scratch else base, out=out, name=name, epoch=epoch, epochs=options.epochs
    )
    train_own(learnt, held, training, lambda line: say(f"train: {line}"))
    _show(out)
    return 0


def _usable(path: Path, data: OwnData) -> OwnData:
    """Give what can be learnt of, and tell what cannot."""
    from enrich.own_data import BadRow
    from enrich.own_training import unnamed

    silent = {row.line for row in unnamed(data.rows)}
    bad = [*data.bad, *(BadRow(line, "the text does not name the brand") for line in sorted(silent))]
    bad.sort(key=lambda row: row.line)
    data = replace(data, rows=tuple(row for row in data.rows if row.line not in silent), bad=tuple(bad))
    tell_bad(path, data)
    return data


def _show(out: Path) -> None:
    from enrich.onnx_engine import read_description

    description = read_description(out)
    print(safe(f"Wrote {out}: {description['name']}, epoch {description['epoch']}"))
    for subject, figures in description["dev"]["int8"].items():
        low, high = figures["macro_recall_95"]
        print(f"  {subject}: macro recall {figures['macro_recall']:.3f} ({low:.3f} to {high:.3f})")
    print('Use it: in the configuration, under [engine], folder = "..." with this folder.')


COMMAND = Command(
    "train",
    "Train a sentiment model of your own from labelled texts.",
    "Goes on from the model in use: the one of Soundings, or that of engine.folder. A row with a brand teaches the "
    "feeling towards it, a row without teaches that of the post. Every class needs five rows. Writes a folder that "
    'engine.folder may name, with figures from rows that were held out. Needs pip install "soundings[torch]".',
    _arguments,
    _run,
)
