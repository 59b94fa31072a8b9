"""Average checkpoints of one architecture and one beginning into one (extra `torch`).

`python -m enrich.averaging FOLDER=WEIGHT FOLDER=WEIGHT ... --out FOLDER`. Runs that start from the same encoder and go
different ways can be averaged weight by weight, and the mean keeps most of what each is good at (Wortsman et al. 2022,
"Model soups"): `docs/experiments.md` has what it gave here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from domain.errors import ConfigError
from enrich.torch_model import load


def average(shares: Mapping[Path, float], out: Path) -> Path:
    """Write the weighted mean of checkpoints.

    Args:
        shares: folder of a checkpoint of `enrich.training` -> how much it counts; more than 0. The first one says which
            early heads there are (the others have at least those) and what the points weigh when one is chosen.
        out: folder to write: a checkpoint like the others, whose `training.json` tells of all of them.

    Returns:
        `out`.

    Raises:
        ConfigError: a share is not above 0, or a checkpoint lacks weights of the first one.
    """
    if not shares or min(shares.values()) <= 0:
        raise ConfigError("expected checkpoints with shares above 0")
    total = sum(shares.values())
    first = next(iter(shares))
    model = load(first)
    mean = {name: torch.zeros_like(weights, dtype=torch.float64) for name, weights in model.state_dict().items()}
    reports = {}
    for folder, share in shares.items():
        weights = load(folder).state_dict()
        if missing := sorted(mean.keys() - weights.keys()):
            raise ConfigError(f"{folder} has no weights {', '.join(missing[:3])}, which {first} has: not of one recipe")
        for name, so_far in mean.items():
            so_far += weights[name].double() * (share / total)
        reports[folder] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    model.load_state_dict(mean)
    report = {
        "average_of": [{"share": share / total, **reports[folder]} for folder, share in shares.items()],
        "point_weights": reports[first]["point_weights"],
    }
    model.save(out, first, report)
    return out


def _share(text: str) -> tuple[Path, float]:
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected FOLDER=WEIGHT") from None


def main(argv: Sequence[str]) -> int:
    """Average and write; 0 when done, 2 when it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m enrich.averaging", description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=_share, metavar="FOLDER=WEIGHT")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    args = parser.parse_args(argv)
    try:
        average(dict(args.checkpoints), args.out)
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
