"""The configuration: one TOML file, overridden by the environment, read once into frozen dataclasses.

Reading it opens nothing but the file itself. Every problem is collected, so that one look mends them all.
"""

from __future__ import annotations

import ipaddress
import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any

from domain.brand import Brand, is_slug, slug
from domain.errors import ConfigError
from domain.records import SENTIMENTS
from service.settings_table import BRAND_SETTINGS, COLUMNS_KEY, LABELS_KEY, SETTINGS, Setting, Value

CONFIG_VARIABLE = "SOUNDINGS_CONFIG"
DEFAULT_CONFIG = Path("soundings.toml")
# A configuration is typed by people; a file beyond this is something else by mistake.
MAX_CONFIG_BYTES = 16 * 1024 * 1024
_FILE = "source.file."
_ENGINE = "engine."
_TABLES = (COLUMNS_KEY, LABELS_KEY)


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The data folder."""

    dir: Path
    disk_floor_mb: int
    log_retention_days: int
    retention_days: int


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the dashboard listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The sentiment engine; see the table. `threads` 0 means one for each core.

    `labels` maps a label of a model from elsewhere to one of `domain.records.SENTIMENTS`.
    """

    kind: str
    threads: int
    folder: str = ""
    model: str = ""
    download: bool = False
    temperature: float = 1.0
    epoch: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileSettings:
    """How rows of a file become posts; see the table. `columns` maps a field of the post to the file's column."""

    name: str
    format: str
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    quoting: str
    html: str
    timezone: str
    date_formats: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. `origin` is the file it was read from, None when there was none."""

    data: DataSettings
    web: WebSettings
    engine: EngineSettings
    file: FileSettings
    brands: tuple[Brand, ...]
    origin: Path | None = None

    def require_brands(self) -> tuple[Brand, ...]:
        """Give the brands.

        Raises:
            ConfigError: there is none to listen for.
        """
        if self.brands:
            return self.brands
        where = str(self.origin) if self.origin else f"no configuration file ({DEFAULT_CONFIG} is not here)"
        raise ConfigError(
            f"{where}: no brand to listen for; `soundings init NAME ...` writes a configuration, --config names one"
        )


def nearest(word: str, names: Iterable[str]) -> str:
    """Give `; did you mean ...?` for the closest of `names`, or "" when none is close."""
    close = get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def find_config(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Give the configuration file to read: the one given, else the environment's, else soundings.toml if it is here."""
    if given is not None:
        return given
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def read(
    given: Path | None = None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Value] | None = None,
    columns: Sequence[str] = (),
) -> tuple[Settings, list[str]]:
    """Read the configuration: command line over environment over file over defaults.

    Args:
        given: the file that the command line names; see `find_config` when None.
        environ: the process's environment.
        overrides: values by setting key from the command line; None values are left out.
        columns: the fields of a post that `[source.file.columns]` may name; nothing is checked when empty.

    Returns:
        The settings and every problem found, one line each, with the place looked at. Where a value cannot be used,
        the settings hold its default.
    """
    path = find_config(given, environ)
    problems: list[str] = []
    document = read_document(path, problems) if path else {}
    where = str(path) if path else ""
    values = {setting.key: setting.default for setting in SETTINGS}
    flat, tables, brand_tables = _split(document, where, problems)
    for setting in SETTINGS:
        if setting.key in flat:
            _take(setting, flat[setting.key], f"{where}: {setting.key}", values, problems)
    _read_environment(environ, values, problems)
    for key, value in (overrides or {}).items():
        if value is not None:
            values[key] = value
    mapping = _columns(tables.get(COLUMNS_KEY, {}), columns, where, problems)
    labels = _labels(tables.get(LABELS_KEY, {}), where, problems)
    brands = _brands(brand_tables, where, problems)
    return _build(values, mapping, labels, brands, path), problems


def load(
    given: Path | None = None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Value] | None = None,
    columns: Sequence[str] = (),
) -> Settings:
    """Read the configuration as `read` does, or refuse it.

    Raises:
        ConfigError: every problem found.
    """
    settings, problems = read(given, environ=environ, overrides=overrides, columns=columns)
    if problems:
        raise ConfigError(problems)
    return settings


def read_document(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a TOML file; what stands in the way is added to `problems`."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_CONFIG_BYTES + 1)
        if len(raw) > MAX_CONFIG_BYTES:
            problems.append(f"{path}: larger than {MAX_CONFIG_BYTES} bytes; is this the configuration?")
            return {}
        return tomllib.loads(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        problems.append(f"{path}: there is no such configuration file; `soundings init` writes one")
    except OSError as exc:
        problems.append(f"{path}: cannot be read: {exc.strerror or exc}")
    except UnicodeDecodeError as exc:
        problems.append(f"{path}: not UTF-8 at byte {exc.start}; save it as UTF-8")
    except tomllib.TOMLDecodeError as exc:
        problems.append(f"{path}: not valid TOML: {exc}")
    except RecursionError:
        problems.append(f"{path}: nested too deeply")
    return {}


def _split(
    document: Mapping[str, Any], where: str, problems: list[str]
) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]], Sequence[Any]]:
    """Part a document into plain settings by dotted key, tables whose keys are the user's, and the brand tables."""
    known = {setting.key for setting in SETTINGS}
    sections = {key.rsplit(".", depth)[0] for key in known for depth in (1, 2) if key.count(".") >= depth}
    flat: dict[str, Any] = {}
    tables: dict[str, Mapping[str, Any]] = {}
    brands: Sequence[Any] = ()

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        nonlocal brands
        for name, value in table.items():
            key = f"{prefix}{name}"
            if key in _TABLES:
                if isinstance(value, dict):
                    tables[key] = value
                else:
                    pairs = 'field = "column"' if key == COLUMNS_KEY else 'LABEL = "negative"'
                    problems.append(f"{where}: {key}: found {_show(value)}, expected a table of {pairs}")
            elif key == "brands":
                if isinstance(value, list):
                    brands = value
                else:
                    problems.append(f"{where}: {key}: found {_show(value)}, expected tables that begin with [[brands]]")
            elif key in known:
                flat[key] = value
            elif key in sections and isinstance(value, dict):
                walk(value, f"{key}.")
            elif key in sections:
                problems.append(f"{where}: {key}: found {_show(value)}, expected a table [{key}]")
            else:
                hint = nearest(key, [*known, *sections, *_TABLES, "brands"])
                problems.append(f"{where}: {key}: unknown key{hint}")

    walk(document, "")
    return flat, tables, brands


def _read_environment(environ: Mapping[str, str], values: dict[str, Any], problems: list[str]) -> None:
    """Override values by SOUNDINGS_ variables; an unknown one is a problem, like an unknown key."""
    by_name = {setting.environment: setting for setting in SETTINGS}
    for name in sorted(environ):
        if not name.startswith("SOUNDINGS_") or name == CONFIG_VARIABLE:
            continue
        setting = by_name.get(name)
        if setting is None:
            hint = nearest(name, [*by_name, CONFIG_VARIABLE])
            problems.append(f"environment: {name}: unknown setting{hint}")
            continue
        raw: Any = environ[name]
        if setting.kind == "integer" and raw.strip().lstrip("-").isascii() and raw.strip().lstrip("-").isdigit():
            raw = int(raw)
        elif setting.kind == "number":
            raw = _number(raw)
        elif setting.kind == "boolean":
            raw = {"true": True, "false": False}.get(raw.strip().lower(), raw)
        _take(setting, raw, f"environment: {name}", values, problems)


def _take(setting: Setting, raw: Any, place: str, values: dict[str, Any], problems: list[str]) -> None:
    """Check one value against its setting and keep it, or say what is wrong with it."""
    wrong = _wrong(setting, raw)
    if wrong:
        problems.append(f"{place}: {'is empty' if raw == '' else f'found {wrong}'}, expected {setting.expected()}")
    else:
        values[setting.key] = tuple(raw) if isinstance(raw, list) else raw


def _number(text: str) -> float | str:
    """Read a number from the environment; what is none stays as it is."""
    try:
        return float(text)
    except ValueError:
        return text


def _wrong(setting: Setting, raw: Any) -> str:
    """Say what was found instead of a fitting value; "" when it fits."""
    if setting.kind == "boolean":
        return "" if isinstance(raw, bool) else _show(raw)
    if setting.kind in ("integer", "number"):
        if isinstance(raw, bool) or not isinstance(raw, int if setting.kind == "integer" else int | float):
            return _show(raw)
        if not math.isfinite(raw):
            return str(raw)
        low = setting.minimum is not None and raw < setting.minimum
        high = setting.maximum is not None and raw > setting.maximum
        return str(raw) if low or high else ""
    if setting.kind == "texts":
        fits = isinstance(raw, list) and all(isinstance(item, str) and item.strip() for item in raw)
        return "" if fits else _show(raw)
    if not isinstance(raw, str):
        return _show(raw)
    if not raw and setting.default != "":
        return "an empty text"
    if "\0" in raw:
        return "a text with a NUL character"
    if setting.kind == "choice" and raw not in setting.choices:
        return _show(raw)
    return ""


def _show(value: Any) -> str:
    """Show a found value shortly, with its kind where that is what is wrong."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _columns(table: Mapping[str, Any], fields: Sequence[str], where: str, problems: list[str]) -> dict[str, str]:
    """Check the column table: known fields, texts as columns."""
    columns: dict[str, str] = {}
    for name, column in table.items():
        if fields and name not in fields:
            problems.append(f"{where}: {COLUMNS_KEY}.{name}: unknown field of a post{nearest(name, fields)}")
        elif not isinstance(column, str):
            problems.append(f"{where}: {COLUMNS_KEY}.{name}: found {_show(column)}, expected the name of a column")
        else:
            columns[name] = column
    return columns


def _labels(table: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, str]:
    """Check what labels of a model are said to mean."""
    labels: dict[str, str] = {}
    for name, sentiment in table.items():
        if sentiment in SENTIMENTS:
            labels[name] = sentiment
        else:
            expected = f"expected one of {', '.join(SENTIMENTS)}"
            problems.append(f"{where}: {LABELS_KEY}.{name}: found {_show(sentiment)}, {expected}")
    return labels


def _brands(tables: Sequence[Any], where: str, problems: list[str]) -> tuple[Brand, ...]:
    """Build the brands; one without a usable id or query is left out."""
    brands: list[Brand] = []
    known = [setting.key for setting in BRAND_SETTINGS]
    seen: set[str] = set()
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            problems.append(f"{where}: brands: entry {number} is {_show(table)}, expected a table [[brands]]")
            continue
        brand_id = table.get("id")
        place = f"{where}: brand {brand_id if isinstance(brand_id, str) and brand_id else number}"
        problems += [f"{place}: {key}: unknown key{nearest(key, known)}" for key in table if key not in known]
        values: dict[str, Any] = {setting.key: setting.default for setting in BRAND_SETTINGS}
        for setting in BRAND_SETTINGS:
            if setting.key in table:
                _take(setting, table[setting.key], f"{place}: {setting.key}", values, problems)
            elif setting.key in ("id", "query"):
                problems.append(f"{place}: {setting.key}: is missing, expected {setting.expected()}")
        if isinstance(values["id"], str) and not is_slug(values["id"]):
            problems.append(f"{place}: id: found {_show(values['id'])}, expected a slug such as {slug(values['id'])!r}")
        if isinstance(values["id"], str) and values["id"] in seen:
            problems.append(f"{place}: id: used by an earlier brand too; each brand needs its own")
        seen.add(str(values["id"]))
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


def _build(
    values: Mapping[str, Any],
    columns: Mapping[str, str],
    labels: Mapping[str, str],
    brands: tuple[Brand, ...],
    origin: Path | None,
) -> Settings:
    """Put checked values into their dataclasses."""
    return Settings(
        data=DataSettings(
            dir=Path(values["data.dir"]).expanduser(),
            disk_floor_mb=values["data.disk_floor_mb"],
            log_retention_days=values["data.log_retention_days"],
            retention_days=values["data.retention_days"],
        ),
        web=WebSettings(host=values["web.host"], port=values["web.port"]),
        engine=EngineSettings(
            **{key.removeprefix(_ENGINE): value for key, value in values.items() if key.startswith(_ENGINE)},
            labels=labels,
        ),
        file=FileSettings(
            **{key.removeprefix(_FILE): value for key, value in values.items() if key.startswith(_FILE)},
            columns=columns,
        ),
        brands=brands,
        origin=origin,
    )


def to_json(settings: Settings) -> str:
    """Write settings down for a child process; `from_json` reads them back."""
    return json.dumps(asdict(settings), default=str)


def from_json(text: str) -> Settings:
    """Read what `to_json` wrote."""
    document = json.loads(text)
    data, file = document["data"], document["file"]
    brands = (
        Brand(**{**brand, "handles": tuple(brand["handles"]), "competitors": tuple(brand["competitors"])})
        for brand in document["brands"]
    )
    return Settings(
        data=DataSettings(**{**data, "dir": Path(data["dir"])}),
        web=WebSettings(**document["web"]),
        engine=EngineSettings(**document["engine"]),
        file=FileSettings(**{**file, "header": tuple(file["header"]), "date_formats": tuple(file["date_formats"])}),
        brands=tuple(brands),
        origin=Path(document["origin"]) if document["origin"] else None,
    )


def fingerprint(settings: Settings) -> str:
    """Give a hash of what decides which posts become which mentions: brands and how rows are read."""
    content = {"file": asdict(settings.file), "brands": [asdict(brand) for brand in settings.brands]}
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


def address_problem(host: str) -> str:
    """Say why the dashboard may not listen on `host`; "" when it may."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback:
        return ""
    return (
        f"web.host: found {_show(host)}, expected a loopback address such as 127.0.0.1: there is no access control "
        "yet, so other machines are kept out"
    )
