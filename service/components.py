"""The table of components, and how each is built from the settings. Nothing is opened before it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from domain.brand import Brand
from domain.clock import Clock, SystemClock
from domain.documents import Documents
from domain.errors import ConfigError
from service.data_folder import DataFolder
from service.settings import EngineSettings, Settings
from service.sources import SOURCE_KINDS
from service.sources.kind import SourceContext
from service.stages import STAGES

if TYPE_CHECKING:
    from alerts.records import Alert
    from dashboard.app import Application
    from enrich.engine import SentimentEngine
    from enrich.model_folder import TransformersSettings
    from ingest.file import FileSource
    from ingest.file_shape import FileSettings
    from ingest.source import LiveSource, TellsEngagement
    from search.elastic_health import HealthIndex
    from search.store import Store
    from stream.kafka_broker import Broker
    from stream.protocol import Log


@dataclass(frozen=True, slots=True)
class Component:
    """One part that can be chosen. `needs` names the extra that must be installed; "" when none."""

    kind: Literal["log", "source", "engine", "store"]
    name: str
    summary: str
    needs: str = ""


COMPONENTS: tuple[Component, ...] = (
    Component("log", "embedded", "one SQLite file in the data folder"),
    Component("log", "kafka", "Kafka 4 by confluent-kafka, which is fast", "cluster"),
    Component("log", "kafka-python", "Kafka 4 by kafka-python, which runs wherever Python does", "cluster"),
    Component("source", "file", "JSON lines, CSV or TSV, plain or gzipped, or standard input"),
    *(Component("source", kind.name, kind.summary, kind.needs) for kind in SOURCE_KINDS),
    Component("engine", "int8", "the shipped English model in 8-bit arithmetic, the fastest"),
    Component("engine", "exact", "the same 8-bit weights in 32-bit arithmetic, about half as fast"),
    Component("engine", "transformers", "any text classifier of Hugging Face, on a GPU where there is one", "torch"),
    Component("engine", "tiny", "a word list: instant, for tests and for trying things out"),
    Component("store", "embedded", "SQLite as the truth and a tantivy index derived from it"),
    Component("store", "elastic", "Elasticsearch 9", "cluster"),
)


# What is imported of each extra that a source may need.
EXTRA_MODULES = {"sources": ("tweepy", "mastodon")}


def build_engine(settings: EngineSettings) -> SentimentEngine:
    """Build the sentiment engine; this loads the model.

    Raises:
        ConfigError, BackendDown: as the engine.
    """
    if settings.kind == "tiny":
        from enrich.tiny_engine import TinyEngine

        return TinyEngine()
    if settings.kind == "transformers":
        from enrich.model_folder import missing_extra

        if extra := missing_extra():
            raise ConfigError(f"engine.kind: transformers needs an extra: {extra}")
        from enrich.transformers_engine import build_transformers_engine

        return build_transformers_engine(_transformers(settings))
    from enrich.onnx_engine import OnnxEngine, OnnxSettings

    return OnnxEngine(
        OnnxSettings(folder=engine_folder(settings), exact=settings.kind == "exact", threads=settings.threads)
    )


def engine_folder(settings: EngineSettings) -> Path:
    """Give the folder of the model that int8 and exact run."""
    from enrich.onnx_engine import SHIPPED_MODEL

    return Path(settings.folder).expanduser() if settings.folder else SHIPPED_MODEL


def _transformers(settings: EngineSettings, *, download: bool | None = None) -> TransformersSettings:
    from enrich.model_folder import TransformersSettings

    return TransformersSettings(
        model=settings.model,
        labels=settings.labels,
        download=settings.download if download is None else download,
        temperature=settings.temperature,
        epoch=settings.epoch,
        threads=settings.threads,
    )


def engine_problems(settings: EngineSettings) -> list[str]:
    """Tell what keeps the engine from being built, without loading a model or using the network."""
    if settings.kind == "transformers":
        from enrich.model_folder import problems_of

        fetched = settings.download and not Path(settings.model).expanduser().is_dir()
        problems = problems_of(_transformers(settings, download=False))
        # What may be fetched when it is needed is no problem now.
        return [one for one in problems if not (fetched and "no model of this id" in one)]
    if settings.kind == "tiny" or not settings.folder:
        return []
    from enrich.onnx_engine import read_description

    try:
        read_description(engine_folder(settings))
    except ConfigError as exc:
        return list(exc.problems)
    return []


def point_weights(settings: EngineSettings) -> tuple[float, ...]:
    """Give how much each of the five points counts when the engine's best point is chosen; alike where none says.

    Raises:
        ConfigError: the model's description cannot be read.
    """
    from enrich.engine import POINTS

    alike = (1.0,) * len(POINTS)
    if settings.kind == "tiny":
        return alike
    if settings.kind == "transformers":
        from enrich.model_folder import locate

        paths = [locate(_transformers(settings)) / name for name in ("engine.json", "training.json")]
    else:
        paths = [engine_folder(settings) / "engine.json"]
    for path in paths:
        if path.is_file():
            try:
                weights = tuple(float(weight) for weight in json.loads(path.read_text("utf-8"))["point_weights"])
            except (OSError, ValueError, KeyError, TypeError) as exc:
                raise ConfigError(f"{path}: point_weights cannot be read ({exc})") from exc
            if len(weights) != len(POINTS):
                raise ConfigError(f"{path}: found {len(weights)} point_weights, expected {len(POINTS)}")
            return weights
    return alike


def file_source(settings: Settings, path: str) -> FileSource:
    """Build the file source for one file, or "-" for standard input.

    Raises:
        ConfigError: settings that cannot be used, all of them.
    """
    from ingest.clean import HtmlMode
    from ingest.file import FileSource
    from ingest.file_shape import FileSettings, Format
    from ingest.normalise import Normaliser, NormaliserSettings

    chosen = settings.file
    normalise = NormaliserSettings(
        html=cast(HtmlMode, chosen.html),
        date_formats=chosen.date_formats,
        timezone=chosen.timezone,
        retention=timedelta(days=settings.data.retention_days),
        backfilled=True,
    )
    problems: list[str] = []
    try:
        Normaliser(chosen.name, normalise)
    except ConfigError as exc:
        problems += exc.problems
    try:
        source = FileSource(
            FileSettings(
                path=path,
                format=cast(Format, chosen.format),
                name=chosen.name,
                columns=chosen.columns,
                header=chosen.header,
                delimiter="" if chosen.delimiter == "auto" else chosen.delimiter,
                quoting={"auto": None, "yes": True, "no": False}[chosen.quoting],
                encoding=chosen.encoding,
                normalise=normalise,
            )
        )
    except ConfigError as exc:
        problems += exc.problems
    if problems:
        raise ConfigError([f"source.file: {problem}" for problem in problems])
    return source


def live_sources(settings: Settings, brands: Sequence[Brand], clock: Clock) -> list[LiveSource]:
    """Build the live sources that are enabled; nothing is connected.

    Raises:
        ConfigError: settings that cannot be used, of all of them.
    """
    sources: list[LiveSource] = []
    problems: list[str] = []
    rows = file_source(settings, "-").settings
    for kind in SOURCE_KINDS:
        if kind.name not in settings.sources.enabled:
            continue
        if kind.needs and (missing := [name for name in EXTRA_MODULES[kind.needs] if find_spec(name) is None]):
            problems.append(
                f"sources.enabled: {kind.name} needs an extra: pip install 'soundings[{kind.needs}]' (there is no "
                f"{missing[0]})"
            )
            continue
        try:
            sources.append(kind.build(_source_context(kind.name, settings, brands, clock, rows)))
        except ConfigError as exc:
            problems += exc.problems
    if problems:
        raise ConfigError(problems)
    return sources


def engagement_sources(settings: Settings, clock: Clock) -> list[TellsEngagement]:
    """Build the live sources that are enabled and tell for nothing what posts have earned; nothing is connected.

    One that cannot be used is left out: whoever listens to it says so.
    """
    from ingest.source import TellsEngagement

    sources: list[TellsEngagement] = []
    rows = file_source(settings, "-").settings
    for kind in SOURCE_KINDS:
        if kind.tells_engagement and kind.name in settings.sources.enabled:
            try:
                source = kind.build(_source_context(kind.name, settings, (), clock, rows))
            except ConfigError:
                continue
            if isinstance(source, TellsEngagement):
                sources.append(source)
    return sources


def source_notes(settings: Settings, brands: Sequence[Brand], clock: Clock) -> list[str]:
    """Give what the live sources that are enabled cannot do for brands, a line each; of settings that can be used."""
    rows = file_source(settings, "-").settings
    return [
        note
        for kind in SOURCE_KINDS
        if kind.name in settings.sources.enabled
        for note in kind.notes(_source_context(kind.name, settings, brands, clock, rows))
    ]


def _source_context(
    name: str, settings: Settings, brands: Sequence[Brand], clock: Clock, rows: FileSettings
) -> SourceContext:
    from ingest.normalise import NormaliserSettings

    return SourceContext(
        values=settings.sources.values[name],
        normalise=NormaliserSettings(retention=timedelta(days=settings.data.retention_days)),
        brands=brands,
        clock=clock,
        allow_private=settings.sources.allow_private,
        rows=rows,
    )


def open_log(settings: Settings, clock: Clock, *, role: str, read_only: bool = False) -> Log:
    """Open the log.

    Args:
        settings: which log it is.
        clock: for what is appended.
        role: of this process; a log of many machines keeps a file for it in the data folder.
        read_only: beside whoever writes.

    Raises:
        ConfigError: it cannot be used: nothing is there to read, topics are missing, an extra is not installed.
        Busy: another process writes it.
        RetryLater, BackendDown: it cannot be reached.
    """
    folder = DataFolder(settings.data.dir)
    if settings.log.kind == "embedded":
        from stream.embedded import EmbeddedLog

        if read_only:
            folder.require()
        else:
            folder.create()
        return EmbeddedLog.open(folder.log, clock=clock, read_only=read_only)
    from stream.kafka_log import KafkaLog

    broker = open_broker(settings)
    try:
        folder.create()
        return KafkaLog(broker, settings.kafka, clock=clock, view=folder.own_file(f"log-view-{role}.sqlite"))
    except BaseException:
        broker.close()
        raise


def open_broker(settings: Settings) -> Broker:
    """Connect to Kafka through the client that is chosen.

    Raises:
        ConfigError: it cannot be used, or its client is not installed.
    """
    require_extra("log.kind", settings.log.kind, "confluent_kafka" if settings.log.kind == "kafka" else "kafka")
    if settings.log.kind == "kafka":
        from stream.kafka import open_broker as connect
    else:
        from stream.kafka_python import open_broker as connect
    return connect(settings.kafka)


def open_store(settings: Settings, clock: Clock, *, read_only: bool = False) -> Store:
    """Open the store.

    Raises:
        ConfigError: it cannot be used: nothing is there to read, `soundings setup` has not run, an extra is missing.
        Busy: another process writes it.
        RetryLater, BackendDown: it cannot be reached.
    """
    folder = DataFolder(settings.data.dir)
    if settings.store.kind == "embedded":
        from search.embedded import EmbeddedStore

        if read_only:
            folder.require(log=settings.log.kind == "embedded")
        else:
            folder.create()
        return EmbeddedStore.open(folder.store, clock=clock, read_only=read_only)
    require_extra("store.kind", settings.store.kind, "elastic_transport")
    from search.elastic import ElasticStore

    return ElasticStore.open(settings.elastic, read_only=read_only, clock=clock)


def open_documents(settings: Settings) -> Documents:
    """Open the documents that alerts are kept in: beside the mentions, wherever those are.

    Raises:
        ConfigError: nothing is there, `soundings setup` has not run, or an extra is missing.
        RetryLater, BackendDown: they cannot be reached.
    """
    if settings.store.kind == "embedded":
        from search.sqlite_documents import SqliteDocuments

        folder = DataFolder(settings.data.dir)
        folder.require(log=settings.log.kind == "embedded")
        return SqliteDocuments.open(folder.alerts)
    require_extra("store.kind", settings.store.kind, "elastic_transport")
    from search.elastic_documents import ElasticDocuments

    return ElasticDocuments.open(settings.elastic)


def connection_problems(settings: Settings) -> list[str]:
    """Tell what is wrong with the way to the log and the store that are chosen, one line each; connects to nothing."""
    from search.elastic_settings import problems_of
    from stream.kafka_settings import kafka_problems

    log = kafka_problems(settings.kafka) if settings.log.kind != "embedded" else []
    return log + (problems_of(settings.elastic) if settings.store.kind == "elastic" else [])


def require_extra(setting: str, kind: str, module: str) -> None:
    """See that the extra is installed that a setting needs.

    Raises:
        ConfigError: it is not.
    """
    if find_spec(module) is None:
        raise ConfigError(
            f"{setting}: {kind} needs an extra: `make cluster`, or pip install '.[cluster]', in Soundings' own folder"
        )


def kind_problems(settings: Settings) -> list[str]:
    """Tell which kinds of log and store do not go together; nothing when they do.

    A store of one process beside a log of many machines is filled by whoever takes a share of the mentions, out of
    reach of all others. The other way round, one process may well write to Elasticsearch.
    """
    if settings.log.kind == "embedded" or settings.store.kind != "embedded":
        return []
    return [
        f"store.kind: is embedded, a folder of one process, while log.kind is {settings.log.kind}, which many share: "
        "set store.kind to elastic, and [elastic], or log.kind to embedded"
    ]


def require_one_process(settings: Settings, instead: str) -> None:
    """See that all stages may run in one process over one data folder.

    Raises:
        ConfigError: the log is shared by machines; `instead` says which command is meant.
    """
    if settings.log.kind != "embedded":
        raise ConfigError(f"log.kind: is {settings.log.kind}, where each stage is a process of its own: {instead}")


def require_cluster(settings: Settings) -> None:
    """See that a stage may be a process of its own.

    Raises:
        ConfigError: the log belongs to one process.
    """
    if settings.log.kind == "embedded":
        raise ConfigError(
            "log.kind: is embedded, where one process runs all stages (`soundings up`); set it to kafka, and [kafka], "
            "for workers"
        )


def health_index(store: Store) -> HealthIndex | None:
    """Give where Kibana finds events and dead letters, or None where the store is not Elasticsearch."""
    if find_spec("elastic_transport") is None:
        return None
    from search.elastic import ElasticStore
    from search.elastic_health import HealthIndex

    return HealthIndex(store.bulk, store.names) if isinstance(store, ElasticStore) else None


def alert_publisher(store: Store) -> Callable[[Sequence[Alert]], None]:
    """Give what shows alerts to Kibana; what does nothing where the store is not Elasticsearch."""
    if find_spec("elastic_transport") is None:
        return lambda alerts: None
    from alerts.projection import projection
    from search.alert_index import AlertIndex
    from search.elastic import ElasticStore

    if not isinstance(store, ElasticStore):
        return lambda alerts: None
    index = AlertIndex(store.bulk, store.names)
    return lambda alerts: index.publish([projection(alert) for alert in alerts])


@dataclass(frozen=True, slots=True)
class Reader:
    """Log and store, open for reading beside whoever writes; what else it opens is closed with them."""

    log: Log
    store: Store
    settings: Settings
    opened: ExitStack

    def app(self) -> Application:
        """Build the dashboard."""
        from dashboard.app import build_app
        from dashboard.books import StageInfo
        from service.alert_page import ServiceAlertDesk
        from service.brand_desk import ServiceDesk
        from service.web_access import access_of

        def came_in(topics: Sequence[str]) -> Callable[[], int] | None:
            return (lambda: sum(map(self.log.appended, topics))) if topics else None

        documents = self.opened.enter_context(closing(open_documents(self.settings)))
        return build_app(
            self.store,
            self.log,
            self.settings.brands,
            desk=ServiceDesk(self.log, self.settings),
            access=access_of(self.settings.web),
            enabled_sources=self.settings.sources.enabled,
            stages=[
                StageInfo(stage.name, stage.meaning, stage.group, stage.topics, came_in(stage.topics))
                for stage in STAGES
            ],
            alerts=ServiceAlertDesk(self.settings, self.store, documents),
        )


@contextmanager
def open_reader(settings: Settings, *, role: str = "cli") -> Iterator[Reader]:
    """Open log and store for reading.

    Raises:
        ConfigError: nothing was ever stored there, or by a version that this one cannot read.
        RetryLater, BackendDown: they cannot be read.
    """
    clock = SystemClock()
    with (
        closing(open_log(settings, clock, role=role, read_only=True)) as log,
        closing(open_store(settings, clock, read_only=True)) as store,
        ExitStack() as opened,
    ):
        yield Reader(log, store, settings, opened)
