"""What a command is, and the options that several of them share."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import ConfigError
from service.settings import Settings, read
from service.settings_table import SETTINGS

ENGINE_CHOICES = next(setting.choices for setting in SETTINGS if setting.key == "engine.kind")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the command line.

    `summary` is one line; `description` says what it reads, writes and gives back. `run` gives the exit code.
    """

    name: str
    summary: str
    description: str
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def add_config(parser: ArgumentParser) -> None:
    """Add --config."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file (else SOUNDINGS_CONFIG, else ./soundings.toml if it is there)",
    )


def add_data_dir(parser: ArgumentParser) -> None:
    """Add --data-dir."""
    parser.add_argument(
        "--data-dir",
        type=_folder,
        metavar="DIR",
        help="folder that holds all state (else SOUNDINGS_DATA_DIR, else data.dir, else ./soundings-data)",
    )


def add_engine(parser: ArgumentParser) -> None:
    """Add --engine."""
    parser.add_argument("--engine", choices=ENGINE_CHOICES, help="sentiment engine (else engine.kind, else int8)")


def _folder(text: str) -> Path:
    """Read a folder; an empty text is an unset variable of a script, not the folder we stand in."""
    if not text:
        raise ArgumentTypeError("found an empty text, expected a folder")
    return Path(text)


def positive(text: str, most: int = 1_000_000) -> int:
    """Read a whole number from 1 to `most` from the command line."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and 0 < int(text) <= most):
        raise ArgumentTypeError(f"found {text!r}, expected a whole number from 1 to {most:,}")
    return int(text)


def read_settings(options: Namespace) -> tuple[Settings, list[str]]:
    """Read the configuration as the options of a command say, with every problem found."""
    from ingest.source import RAW_FIELDS
    from service.components import kind_problems

    given = vars(options)
    data_dir = given.get("data_dir")
    overrides = {
        "data.dir": str(data_dir) if data_dir is not None else None,
        "engine.kind": given.get("engine"),
        "web.host": given.get("host"),
        "web.port": given.get("port"),
        "health.port": given.get("health_port"),
    }
    settings, problems = read(given.get("config"), environ=os.environ, overrides=overrides, columns=RAW_FIELDS)
    return settings, problems + kind_problems(settings)


def load_settings(options: Namespace, *, brands: bool = False) -> Settings:
    """Read the configuration as the options of a command say; with `brands`, those that it names must be usable.

    Raises:
        ConfigError: every problem found.
    """
    settings, problems = read_settings(options)
    if brands:
        from service.brand_check import query_problems

        problems += [problem for brand in settings.brands for problem in query_problems(brand)]
    if problems:
        raise ConfigError(problems)
    return settings
