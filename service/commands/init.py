"""`soundings init`: write a commented configuration for the brands named."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from domain.brand import Brand, name_flaw, slug
from domain.errors import ConfigError
from domain.text import fold_keyword
from service.command import Command
from service.setting import Setting
from service.settings import DEFAULT_CONFIG
from service.settings_table import SETTINGS
from service.terminal import safe

_HEAD = """\
# Configuration of Soundings. `soundings check` finds every problem at once.
# A line that begins with # shows a default; an environment variable overrides the file (its name stands beside it).
"""

_BRAND_HEAD = """
# Brands to listen for. Give each a query: words, "phrases", @handles, #hashtags, AND OR NOT, brackets, prefix*.
# An ambiguous name needs company: delta AND (flight* OR airline*). Raise query_revision with each change of the query.
"""

_TABLES = """
# What the labels of the model of transformers mean, where they are not called negative, neutral and positive.
# [engine.labels]
# LABEL_0 = "negative"
# LABEL_1 = "positive"

# Which column of a file holds which field of a post, where the names do not say so themselves.
# [source.file.columns]
# id = "tweet_id"
# text = "body"
# published_at = "created_at"
"""


def toml_text(value: str) -> str:
    """Write a text as a TOML basic string."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in value) + '"'


def _default(setting: Setting) -> str:
    if isinstance(setting.default, tuple):
        return "[" + ", ".join(toml_text(text) for text in setting.default) + "]"
    if isinstance(setting.default, bool):
        return "true" if setting.default else "false"
    return toml_text(setting.default) if isinstance(setting.default, str) else str(setting.default)


def brand_ids(names: Sequence[str]) -> list[str]:
    """Propose an id for each name, each its own."""
    ids: list[str] = []
    for name in names:
        base, number = slug(name), 2
        proposed = base
        while proposed in ids:
            tail = f"-{number}"
            proposed, number = base[: 64 - len(tail)] + tail, number + 1
        ids.append(proposed)
    return ids


def check_names(names: Sequence[str]) -> None:
    """See that brands can be called so.

    Raises:
        ConfigError: one cannot.
    """
    if not all(any(character.isalnum() for character in name) for name in names):
        raise ConfigError("BRAND: found a name without a letter or digit; expected one such as 'Acme'")
    for name in names:
        if flaw := name_flaw(name):
            raise ConfigError(f"BRAND: {flaw}")


def brands_named(names: Sequence[str]) -> tuple[Brand, ...]:
    """Give brands that are listened for by their names.

    Raises:
        ConfigError: one cannot be called so.
    """
    names = list({fold_keyword(name.strip()): name.strip() for name in reversed(names)}.values())[::-1]
    check_names(names)
    return tuple(
        Brand(brand_id=brand_id, name=name, query=query_for(name), query_revision=1)
        for name, brand_id in zip(names, brand_ids(names), strict=True)
    )


def query_for(name: str) -> str:
    """Give the query that finds a name as a phrase, as a handle and as a hashtag: a sign is part of a word."""
    phrase = '"' + name.replace("\\", " ").replace('"', " ").strip() + '"'
    sign = "".join(character for character in fold_keyword(name) if character.isalnum())
    return f"{phrase} OR @{sign} OR #{sign}" if len(sign) > 1 and sign.isascii() else phrase


def render(names: Sequence[str]) -> str:
    """Give the text of a configuration for brands of these names."""
    parts = [_HEAD]
    section = ""
    for setting in SETTINGS:
        table, _, name = setting.key.rpartition(".")
        if table != section:
            parts.append(f"\n[{table}]\n")
            section = table
        if setting.kind == "secret":
            parts.append(f"# {setting.meaning}: never in this file, but in {setting.environment}, or in {name}_file\n")
        else:
            parts.append(f"# {setting.meaning} ({setting.environment})\n# {name} = {_default(setting)}\n")
    parts += [_TABLES, _BRAND_HEAD]
    for name, brand_id in zip(names, brand_ids(names), strict=True):
        query = query_for(name)
        parts.append(
            f"\n[[brands]]\nid = {toml_text(brand_id)}\nname = {toml_text(name)}\nquery = {toml_text(query)}\n"
            "query_revision = 1\nhandles = []\ncompetitors = []\n"
        )
    return "".join(parts)


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("brands", nargs="*", metavar="BRAND", help="name of a brand, in quotes if it has a space")
    parser.add_argument(
        "--output", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="file to write (default: soundings.toml)"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def _run(options: Namespace) -> int:
    names = [name.strip() for name in options.brands] or ["Your Brand"]
    check_names(names)
    from service.brand_check import query_problems

    if problems := [problem for brand in brands_named(names) for problem in query_problems(brand)]:
        raise ConfigError(problems)
    output: Path = options.output
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if options.force else os.O_EXCL)
    try:
        with open(os.open(output, flags, 0o644), "w", encoding="utf-8") as stream:
            stream.write(render(names))
    except FileExistsError:
        raise ConfigError(f"{output}: is already there; --output names another file, --force replaces it") from None
    except OSError as exc:
        raise ConfigError(f"{output}: cannot be written: {exc.strerror}") from exc
    shown = safe(str(output))
    print(
        f"Wrote {shown} for {safe(', '.join(names))}. Next: edit the queries, then `soundings check --config {shown}`."
    )
    return 0


COMMAND = Command(
    "init",
    "Write a commented configuration for the brands named.",
    "Writes soundings.toml (or --output) and never replaces a file without --force.",
    _arguments,
    _run,
)
