"""The configuration: one TOML file, overridden by the environment, read once into frozen dataclasses.

Reading it opens nothing but the file itself and the files of secrets. Every problem is collected, so that one look
mends them all.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from domain.brand import Brand
from domain.errors import ConfigError
from search.elastic_settings import ElasticSettings
from service.alert_settings import AlertSettings, read_alerts, secret_names
from service.secrets import Secret, flaw_of, read_secret
from service.setting import Value
from service.settings_checks import nearest, number_of, read_brands, read_columns, read_labels, show, take
from service.settings_table import COLUMNS_KEY, LABELS_KEY, SETTINGS
from service.sources import SOURCE_KINDS
from stream.kafka_settings import KafkaSettings

CONFIG_VARIABLE = "SOUNDINGS_CONFIG"
DEFAULT_CONFIG = Path("soundings.toml")
# A configuration is typed by people; a file beyond this is something else by mistake.
MAX_CONFIG_BYTES = 16 * 1024 * 1024
_FILE = "source.file."
_ENGINE = "engine."
# A secret is read from the file that the setting of this name names.
_IN_FILE = "_file"
_TABLES = (COLUMNS_KEY, LABELS_KEY)
# Keys that hold a list of tables: `[[brands]]`.
_LISTS = ("brands", "rules", "channels", "subscriptions")


@dataclass(frozen=True, slots=True)
class DataSettings:
    """The data folder."""

    dir: Path
    disk_floor_mb: int
    log_retention_days: int
    retention_days: int


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the dashboard listens and whom it lets in; see the table."""

    host: str
    port: int
    auth: str = "none"
    token: Secret = field(default_factory=Secret)
    public_url: str = ""
    proxy_addresses: tuple[str, ...] = ()
    proxy_header: str = "X-Forwarded-User"


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Where `/healthz`, `/readyz` and `/metrics` are; port 0 is a free one."""

    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """What the program's own log looks like; see the table."""

    format: str = "text"
    level: str = "info"


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
class SourcesSettings:
    """Live sources. `values` holds the settings of each by name, secrets as texts, and so is never printed."""

    enabled: tuple[str, ...] = ()
    allow_private: bool = False
    engagement_hours: float = 1.0
    engagement_again_hours: float = 24.0
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Which log it is."""

    kind: str = "embedded"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Which store it is."""

    kind: str = "embedded"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. `origin` is the file it was read from, None when there was none."""

    data: DataSettings
    web: WebSettings
    engine: EngineSettings
    file: FileSettings
    brands: tuple[Brand, ...]
    sources: SourcesSettings = SourcesSettings()
    health: HealthSettings = HealthSettings()
    logging: LoggingSettings = LoggingSettings()
    log: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    elastic: ElasticSettings = field(default_factory=ElasticSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
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
            f"{where}: no brand to listen for, and none was made by `soundings brands add NAME`; `soundings init NAME "
            "...` writes a configuration, --config names one"
        )


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
    flat, tables, lists = _split(document, where, problems)
    for setting in SETTINGS:
        if setting.key in flat and setting.kind == "secret":
            problems.append(
                f"{where}: {setting.key}: no secret belongs in this file: set {setting.environment}, or name the "
                f"file that holds it as {setting.key}{_IN_FILE}"
            )
        elif setting.key in flat:
            take(setting, flat[setting.key], f"{where}: {setting.key}", values, problems)
    _read_environment(environ, values, problems, secret_names(lists))
    _read_secrets(values, problems)
    for key, value in (overrides or {}).items():
        if value is not None:
            values[key] = value
    problems += unknown_sources(cast("tuple[str, ...]", values["sources.enabled"]), where)
    mapping = read_columns(tables.get(COLUMNS_KEY, {}), columns, where, problems)
    labels = read_labels(tables.get(LABELS_KEY, {}), where, problems)
    brands = read_brands(lists.get("brands", ()), where, problems)
    alerts = read_alerts(lists, values, environ, where, problems)
    return _build(values, mapping, labels, brands, alerts, path), problems


def unknown_sources(enabled: Sequence[str], where: str) -> list[str]:
    """Tell which names are no live source, one line each."""
    names = [kind.name for kind in SOURCE_KINDS]
    expected = f"expected some of {', '.join(names)}"
    return [
        f"{where}: sources.enabled: found {show(name)}, {expected}{nearest(name, names)}"
        for name in enabled
        if name not in names
    ]


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
) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]], dict[str, Sequence[Any]]]:
    """Part a document into plain settings by dotted key, tables whose keys are the user's, and lists of tables."""
    known = {setting.key for setting in SETTINGS}
    sections = {key.rsplit(".", depth)[0] for key in known for depth in (1, 2) if key.count(".") >= depth}
    flat: dict[str, Any] = {}
    tables: dict[str, Mapping[str, Any]] = {}
    lists: dict[str, Sequence[Any]] = {}

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        for name, value in table.items():
            key = f"{prefix}{name}"
            if key in _TABLES:
                if isinstance(value, dict):
                    tables[key] = value
                else:
                    pairs = 'field = "column"' if key == COLUMNS_KEY else 'LABEL = "negative"'
                    problems.append(f"{where}: {key}: found {show(value)}, expected a table of {pairs}")
            elif key in _LISTS:
                if isinstance(value, list):
                    lists[key] = value
                else:
                    problems.append(f"{where}: {key}: found {show(value)}, expected tables that begin with [[{key}]]")
            elif key in known:
                flat[key] = value
            elif key in sections and isinstance(value, dict):
                walk(value, f"{key}.")
            elif key in sections:
                problems.append(f"{where}: {key}: found {show(value)}, expected a table [{key}]")
            else:
                hint = nearest(key, [*known, *sections, *_TABLES, *_LISTS])
                problems.append(f"{where}: {key}: unknown key{hint}")

    walk(document, "")
    return flat, tables, lists


def _read_environment(
    environ: Mapping[str, str], values: dict[str, Any], problems: list[str], others: Collection[str]
) -> None:
    """Override values by SOUNDINGS_ variables; one that is neither known nor of `others` is a problem."""
    by_name = {setting.environment: setting for setting in SETTINGS}
    for name in sorted(environ):
        if not name.startswith("SOUNDINGS_") or name == CONFIG_VARIABLE or name in others:
            continue
        setting = by_name.get(name)
        if setting is None:
            hint = nearest(name, [*by_name, CONFIG_VARIABLE, *others])
            problems.append(f"environment: {name}: unknown setting{hint}")
            continue
        raw: Any = environ[name]
        if setting.kind == "integer" and raw.strip().lstrip("-").isascii() and raw.strip().lstrip("-").isdigit():
            raw = int(raw)
        elif setting.kind == "number":
            raw = number_of(raw)
        elif setting.kind == "texts":
            raw = [part.strip() for part in raw.split(",")] if raw.strip() else []
        elif setting.kind == "boolean":
            raw = {"true": True, "false": False}.get(raw.strip().lower(), raw)
        take(setting, raw, f"environment: {name}", values, problems)


def _read_secrets(values: dict[str, Any], problems: list[str]) -> None:
    """Wrap what came from the environment; read from its file what did not; what cannot be one is not used."""
    for setting in SETTINGS:
        if setting.kind != "secret":
            continue
        file = values.get(setting.key + _IN_FILE)
        place, value = f"environment: {setting.environment}", str(values[setting.key])
        if not value and file:
            place = f"{setting.key}{_IN_FILE}"
            value = read_secret(Path(str(file)).expanduser(), problems, place)
        # A key of a service travels in a header, where nothing else can stand.
        if wrong := flaw_of(value, ascii_only=setting.key.startswith("source.")):
            problems.append(f"{place}: found {wrong}, expected the secret alone")
            value = ""
        values[setting.key] = Secret(value)


def _build(
    values: Mapping[str, Any],
    columns: Mapping[str, str],
    labels: Mapping[str, str],
    brands: tuple[Brand, ...],
    alerts: AlertSettings,
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
        web=WebSettings(**_section(values, "web")),
        engine=EngineSettings(
            **{key.removeprefix(_ENGINE): value for key, value in values.items() if key.startswith(_ENGINE)},
            labels=labels,
        ),
        file=FileSettings(
            **{key.removeprefix(_FILE): value for key, value in values.items() if key.startswith(_FILE)},
            columns=columns,
        ),
        brands=brands,
        sources=SourcesSettings(
            enabled=tuple(dict.fromkeys(values["sources.enabled"])),
            allow_private=values["sources.allow_private"],
            engagement_hours=values["sources.engagement_hours"],
            engagement_again_hours=values["sources.engagement_again_hours"],
            values={kind.name: _revealed(_section(values, f"source.{kind.name}")) for kind in SOURCE_KINDS},
        ),
        health=HealthSettings(**_section(values, "health")),
        logging=LoggingSettings(**_section(values, "logging")),
        log=LogSettings(**_section(values, "log")),
        store=StoreSettings(**_section(values, "store")),
        kafka=KafkaSettings(**_revealed(_section(values, "kafka"))),
        elastic=ElasticSettings(**_revealed(_section(values, "elastic"))),
        alerts=alerts,
        origin=origin,
    )


def _section(values: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Give the values of one table by their names in it; where a secret was read from is of no use any more."""
    named = {key.removeprefix(f"{table}."): value for key, value in values.items() if key.startswith(f"{table}.")}
    return {name: value for name, value in named.items() if name.removesuffix(_IN_FILE) not in named.keys() - {name}}


def _revealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give values with their secrets as texts, for settings that leave them out of what is printed of them."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def to_json(settings: Settings) -> str:
    """Write settings down for a child process, secrets included; `from_json` reads them back."""
    return json.dumps(asdict(settings), default=str)


def from_json(text: str) -> Settings:
    """Read what `to_json` wrote."""
    settings: Settings = _rebuild(Settings, json.loads(text))
    return settings


def _rebuild(hint: Any, value: Any) -> Any:
    """Give a value of the type `hint` from what JSON made of it."""
    if get_origin(hint) is UnionType:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if value is None:
        return None
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return cast(type, hint)(**{name: _rebuild(hints[name], item) for name, item in value.items()})
    if get_origin(hint) is tuple:
        return tuple(_rebuild(get_args(hint)[0], item) for item in value)
    if get_origin(hint) is Mapping:
        return {name: _rebuild(get_args(hint)[1], item) for name, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if hint is Any and isinstance(value, list):
        # A value of a setting: JSON has no tuples.
        return tuple(value)
    return Path(value) if hint is Path else value


def fingerprint(settings: Settings) -> str:
    """Give a hash of what decides which posts become which mentions: brands and how rows are read."""
    content = {"file": asdict(settings.file), "brands": [asdict(brand) for brand in settings.brands]}
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()
