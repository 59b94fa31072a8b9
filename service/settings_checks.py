"""Checking what a configuration says: single values, columns, labels of a model, brands; each problem is one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from domain.brand import Brand, handle_flaw, is_slug, name_flaw, slug
from domain.records import SENTIMENTS
from service.setting import Setting
from service.settings_table import BRAND_SETTINGS, COLUMNS_KEY, LABELS_KEY


def nearest(word: str, names: Iterable[str]) -> str:
    """Give `; did you mean ...?` for the closest of `names`, or "" when none is close."""
    close = get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def take(setting: Setting, raw: Any, place: str, values: dict[str, Any], problems: list[str]) -> None:
    """Check one value against its setting and keep it, or say what is wrong with it."""
    wrong = _wrong(setting, raw)
    if wrong:
        # What was meant as a secret is not repeated on a terminal.
        found = "is empty" if raw == "" else "found something else" if setting.kind == "secret" else f"found {wrong}"
        problems.append(f"{place}: {found}, expected {setting.expected()}")
    else:
        values[setting.key] = tuple(raw) if isinstance(raw, list) else raw


def number_of(text: str) -> float | str:
    """Read a number from the environment; what is none stays as it is."""
    try:
        return float(text)
    except ValueError:
        return text


def _wrong(setting: Setting, raw: Any) -> str:
    """Say what was found instead of a fitting value; "" when it fits."""
    if setting.kind == "boolean":
        return "" if isinstance(raw, bool) else show(raw)
    if setting.kind in ("integer", "number"):
        if isinstance(raw, bool) or not isinstance(raw, int if setting.kind == "integer" else int | float):
            return show(raw)
        if not math.isfinite(raw):
            return str(raw)
        low = setting.minimum is not None and raw < setting.minimum
        high = setting.maximum is not None and raw > setting.maximum
        return str(raw) if low or high else ""
    if setting.kind == "texts":
        fits = isinstance(raw, list) and all(isinstance(item, str) and item.strip() for item in raw)
        return "" if fits else show(raw)
    if not isinstance(raw, str):
        return show(raw)
    if not raw and setting.default != "":
        return "an empty text"
    if "\0" in raw:
        return "a text with a NUL character"
    if setting.kind == "choice" and raw not in setting.choices:
        return show(raw)
    return ""


def show(value: Any) -> str:
    """Show a found value shortly, with its kind where that is what is wrong."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def read_columns(table: Mapping[str, Any], fields: Sequence[str], where: str, problems: list[str]) -> dict[str, str]:
    """Check the column table: known fields, texts as columns."""
    columns: dict[str, str] = {}
    for name, column in table.items():
        if fields and name not in fields:
            problems.append(f"{where}: {COLUMNS_KEY}.{name}: unknown field of a post{nearest(name, fields)}")
        elif not isinstance(column, str):
            problems.append(f"{where}: {COLUMNS_KEY}.{name}: found {show(column)}, expected the name of a column")
        else:
            columns[name] = column
    return columns


def read_labels(table: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, str]:
    """Check what labels of a model are said to mean."""
    labels: dict[str, str] = {}
    for name, sentiment in table.items():
        if sentiment in SENTIMENTS:
            labels[name] = sentiment
        else:
            expected = f"expected one of {', '.join(SENTIMENTS)}"
            problems.append(f"{where}: {LABELS_KEY}.{name}: found {show(sentiment)}, {expected}")
    return labels


def read_brands(tables: Sequence[Any], where: str, problems: list[str]) -> tuple[Brand, ...]:
    """Build the brands; one without a usable id or query is left out."""
    brands: list[Brand] = []
    known = [setting.key for setting in BRAND_SETTINGS]
    seen: set[str] = set()
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            problems.append(f"{where}: brands: entry {number} is {show(table)}, expected a table [[brands]]")
            continue
        brand_id = table.get("id")
        place = f"{where}: brand {brand_id if isinstance(brand_id, str) and brand_id else number}"
        problems += [f"{place}: {key}: unknown key{nearest(key, known)}" for key in table if key not in known]
        values: dict[str, Any] = {setting.key: setting.default for setting in BRAND_SETTINGS}
        for setting in BRAND_SETTINGS:
            if setting.key in table:
                take(setting, table[setting.key], f"{place}: {setting.key}", values, problems)
            elif setting.key in ("id", "query"):
                problems.append(f"{place}: {setting.key}: is missing, expected {setting.expected()}")
        if isinstance(values["id"], str) and not is_slug(values["id"]):
            problems.append(f"{place}: id: found {show(values['id'])}, expected a slug such as {slug(values['id'])!r}")
        if isinstance(values["id"], str) and values["id"] in seen:
            problems.append(f"{place}: id: used by an earlier brand too; each brand needs its own")
        seen.add(str(values["id"]))
        if values["name"] and (flaw := name_flaw(values["name"])):
            problems.append(f"{place}: name: {flaw}")
        flaws = [handle_flaw(handle.removeprefix("@")) for handle in values["handles"]]
        problems += [f"{place}: handles: {flaw}" for flaw in flaws if flaw]
        if values["id"] is not None and values["query"] is not None:
            brands.append(_brand(values))
    ids = {brand.brand_id for brand in brands} | seen
    for brand in brands:
        for other in brand.competitors:
            if other not in ids or other == brand.brand_id:
                hint = nearest(other, ids - {brand.brand_id})
                problems.append(
                    f"{where}: brand {brand.brand_id}: competitors: found {other!r}, expected the id of "
                    f"another brand{hint}"
                )
    return tuple(brands)


def _brand(values: Mapping[str, Any]) -> Brand:
    """Build one brand from checked values."""
    return Brand(
        brand_id=values["id"],
        name=values["name"] or values["id"],
        query=values["query"],
        query_revision=values["query_revision"],
        handles=tuple(handle.removeprefix("@") for handle in values["handles"]),
        competitors=values["competitors"],
    )
