"""The examinations of `soundings doctor`: each does what a worker does first, and says how to mend what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from domain.clock import SystemClock
from domain.errors import Busy, ConfigError, ServiceError
from service.settings import Settings


@dataclass(slots=True)
class Finding:
    """What one examination found. `problems` are to be mended; `down`: something did not answer, and may later."""

    part: str
    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    down: bool = False


def examine(settings: Settings) -> Iterator[Finding]:
    """Examine everything that the configuration names, one after the other."""
    examinations: tuple[tuple[str, Callable[[Settings, Finding], None]], ...] = (
        ("access", _access),
        ("brands", _brands),
        ("data folder", _folder),
        ("engine", _engine),
        ("log", _log),
        ("store", _store),
        ("alerts", _alerts),
    )
    for part, examination in examinations:
        finding = Finding(part)
        try:
            examination(settings, finding)
        except (ConfigError, Busy) as exc:
            finding.problems += exc.problems if isinstance(exc, ConfigError) else [str(exc)]
        except ServiceError as exc:
            finding.problems.append(str(exc))
            finding.down = True
        yield finding


def _access(settings: Settings, finding: Finding) -> None:
    from service.web_access import access_notes, access_problems

    web = settings.web
    finding.facts.append(f"the page listens on {web.host}:{web.port}, auth {web.auth}")
    finding.problems += access_problems(web)
    finding.notes += access_notes(web)


def _brands(settings: Settings, finding: Finding) -> None:
    from service.brand_check import query_problems
    from service.brand_desk import brand_states

    try:
        brands = [state.brand for state in brand_states(settings)]
    except ServiceError:
        # What is wrong with the log is told of the log; those of the configuration are known without it.
        brands = []
    brands = brands or list(settings.require_brands())
    finding.facts.append(f"{len(brands)} to listen for")
    finding.problems += [problem for brand in brands for problem in query_problems(brand)]


def _folder(settings: Settings, finding: Finding) -> None:
    from service.data_folder import DataFolder, free_megabytes, require_room

    folder = DataFolder(settings.data.dir)
    folder.create()
    require_room(folder.root, settings.data.disk_floor_mb)
    finding.facts.append(f"{folder.root}, {free_megabytes(folder.root):,} MB free")


def _engine(settings: Settings, finding: Finding) -> None:
    from enrich.engine import Passage
    from service.components import build_engine

    started = time.monotonic()
    engine = build_engine(settings.engine)
    engine.predict([Passage("The crew was kind.")])
    finding.facts.append(f"{engine.name} tags, {time.monotonic() - started:.1f} s to load")


def _log(settings: Settings, finding: Finding) -> None:
    from service.components import open_broker, open_log
    from service.stages import STAGES
    from stream.kafka_settings import kafka_problems
    from stream.kafka_setup import topic_findings

    cluster = settings.log.kind != "embedded"
    if cluster:
        if problems := kafka_problems(settings.kafka):
            raise ConfigError(problems)
        with closing(open_broker(settings)) as broker:
            for line in topic_findings(broker, settings.kafka):
                (finding.problems if "is missing" in line else finding.notes).append(line)
        if finding.problems:
            return
    with closing(open_log(settings, SystemClock(), role="doctor", read_only=True)) as log:
        where = settings.kafka.where if cluster else f"a file in {settings.data.dir}"
        records = sum(count.number for count in log.counts())
        finding.facts.append(f"{settings.log.kind}: {where}; the books hold {records:,} outcomes")
        for stage in STAGES:
            if stage.topics:
                finding.facts.append(f"{log.lag(stage.group, stage.topics):,} records wait for {stage.name}")


def _store(settings: Settings, finding: Finding) -> None:
    from service.components import open_store

    if settings.store.kind == "elastic":
        from search.elastic_http import Elastic
        from search.elastic_settings import problems_of
        from search.elastic_setup import check_ready, differences, month_troubles

        if problems := problems_of(settings.elastic):
            raise ConfigError(problems)
        with closing(Elastic(settings.elastic)) as elastic:
            check_ready(elastic, settings.elastic)
            finding.problems += month_troubles(elastic, settings.elastic)
            finding.notes += differences(elastic, settings.elastic)
    with closing(open_store(settings, SystemClock(), read_only=True)) as store:
        where = ", ".join(settings.elastic.hosts) if settings.store.kind == "elastic" else f"in {settings.data.dir}"
        finding.facts.append(f"{settings.store.kind}: {where}; {store.count():,} mentions")


def _alerts(settings: Settings, finding: Finding) -> None:
    from service.components import open_documents
    from service.data_folder import DataFolder

    if settings.store.kind == "elastic":
        # That it is as it should be is found with the store; not every worker may read it.
        finding.facts.append(f"kept in the index {settings.elastic.names.documents}")
        return
    file = DataFolder(settings.data.dir).alerts
    if not file.is_file():
        finding.facts.append("nothing is kept yet: the pipeline makes the file when it starts")
        return
    with closing(open_documents(settings)) as documents:
        finding.facts.append(f"kept in {file}; {len(documents.scan('subscription')):,} subscriptions")
