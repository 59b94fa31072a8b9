"""A look back: counts of a rule's past, made apart from those of the evaluator, and walked through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from alerts.asking import Deaf
from alerts.backtest import Backtest, backtest
from alerts.counting import HISTORY, CountBook
from alerts.detector import Detector
from alerts.judging import Judge
from alerts.records import Reading
from alerts.rule import Rule, Watch
from alerts.wording import span
from domain.clock import to_ms
from domain.errors import ConfigError
from search.sqlite_documents import SqliteDocuments
from search.store import SearchRequest
from service.alert_mentions import StoreMentions
from service.alerting import all_watches
from service.brands import BrandBook
from service.components import open_reader
from service.settings import Settings
from service.settings_checks import nearest

# More than the picture has pixels would only blur it.
CHART_POINTS = 800


def look_back(
    settings: Settings, rule_id: str, brand_id: str | None, days: int, *, chart: Path | None = None
) -> list[Backtest]:
    """Tell when a rule would have fired in the last `days` before the newest mention.

    Args:
        settings: the configuration.
        rule_id: one of its rules.
        brand_id: one brand; None for each that the rule is about.
        days: how far back.
        chart: where to draw it, as PNG; of one brand.

    Raises:
        ConfigError: there is no such rule or brand, or nothing to look back at.
        RetryLater, BackendDown: as the store.
    """
    rule = _rule(settings, rule_id)
    with open_reader(settings) as reader, TemporaryDirectory(prefix="soundings-") as folder:
        brands = BrandBook(reader.log, settings, writes=False, rereads=False).brands
        found = [watch for watch in all_watches([rule], brands) if brand_id in (None, watch.brand_id)]
        if not found:
            known = [brand.brand_id for brand in brands]
            raise ConfigError(f"brand {brand_id}: there is none of this id{nearest(brand_id or '', known)}")
        if chart is not None and len(found) > 1:
            raise ConfigError("--chart draws one brand: name it with --brand")
        newest = reader.store.search(SearchRequest(limit=1)).mentions
        if not newest:
            raise ConfigError("there are no mentions yet to look back at; `soundings replay FILE` or `up` brings some")
        end = newest[0].published_at or newest[0].collected_at
        # Made anew and thrown away: a look at another time must not change what the evaluator keeps.
        with closing(SqliteDocuments.open(Path(folder) / "counts.db")) as documents:
            mentions = StoreMentions(reader.store)
            counts = CountBook(mentions, documents)
            start = end - timedelta(days=days)
            counts.refresh(found, start - HISTORY, end + timedelta(hours=1))
            judge = Judge(mentions, counts, Detector(), looks_back=True)
            made = [_walked(judge, watch, to_ms(start), to_ms(end)) for watch in found]
            if chart is not None:
                _draw(made[0], mentions.gaps(start, end), chart)
    return made


def _draw(found: Backtest, gaps: Sequence[Deaf], path: Path) -> None:
    """Write a picture of a look back.

    Raises:
        ConfigError: it cannot be written there, or nothing is there to draw.
    """
    from alerts.chart import chart_png, chart_spec

    if not found.readings:
        raise ConfigError(f"{path}: nothing was said of {found.watch.brand_id} in that time, so there is no picture")
    rule = found.watch.rule
    buckets = -(-len(found.readings) // CHART_POINTS)
    spec = chart_spec(
        shown(found.readings, buckets),
        metric=rule.metric,
        window=f"in {span(rule.window_minutes)}",
        zone=UTC,
        alerts=[alert.started_at for alert in found.alerts],
        gaps=gaps,
        buckets=buckets,
        title=f"{found.watch.brand}: {rule.name or rule.rule_id}",
    )
    try:
        path.write_bytes(chart_png(spec))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror or exc}") from exc


def shown(readings: Sequence[Reading], buckets: int) -> list[Reading]:
    """Give one reading of each stretch of so many: the one that is furthest from what was expected."""
    parts = (readings[begin : begin + buckets] for begin in range(0, len(readings), buckets))
    return [max(part, key=lambda reading: reading.surprise) for part in parts]


def _rule(settings: Settings, rule_id: str) -> Rule:
    known = [rule.rule_id for rule in settings.alerts.rules]
    for rule in settings.alerts.rules:
        if rule.rule_id == rule_id:
            return rule
    raise ConfigError(f"rule {rule_id}: there is none of this id, expected {', '.join(known)}{nearest(rule_id, known)}")


def _walked(judge: Judge, watch: Watch, start_ms: int, end_ms: int) -> Backtest:
    first = judge.first_ms(watch)
    if first is None:
        return Backtest(watch, start_ms, end_ms)
    return backtest(judge, watch, max(start_ms, first), end_ms)
