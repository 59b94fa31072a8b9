"""What is wrong with the pipeline itself, as somebody of IT would say it: rules over what is known, without any I/O.

A condition begins when its first threshold is passed, is told of once it has lasted, and ends when its second one,
which is lower, has not been passed for a while. What could not be looked at changes nothing: no news is not good news.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.rule import Severity
from domain.clock import from_ms, to_ms
from domain.listening import STALE_SECONDS, SourceState

# Who reads it acts at once, or in the morning. Thresholds are those of the rules for Prometheus.
DEAF_PATIENCE: Final = timedelta(minutes=10)
UNHEARD_AFTER: Final = timedelta(seconds=STALE_SECONDS)
# A process that is started anew takes a minute or two.
UNHEARD_PATIENCE: Final = timedelta(minutes=5)
SILENT_PATIENCE: Final = timedelta(minutes=15)
LAG_PATIENCE: Final = timedelta(minutes=15)
STUCK_PATIENCE: Final = timedelta(minutes=5)
DISK_PATIENCE: Final = timedelta(minutes=5)
# Tried again after seconds, then minutes: what still waits then is no hiccup.
CHANNEL_PATIENCE: Final = timedelta(minutes=10)
AT_ONCE: Final = timedelta(0)
# After this long without trouble it is over; what comes back sooner was never away.
CALM: Final = timedelta(minutes=5)

# Reading of files pauses at 4,000 records: what is far above comes in live, faster than it goes out.
LAG_BEGINS: Final = 20_000
LAG_ENDS: Final = 10_000
# One bad record in a hundred is the world, one in twenty is a changed format; of a handful, nothing is known.
PARKED_BEGINS: Final = (20, 0.05)
PARKED_ENDS: Final = (10, 0.025)
BUDGET_NEAR: Final = 0.9
# Of the floor at which sources are no longer read.
DISK_LOW: Final = 2.0
DISK_LOW_ENDS: Final = 2.4
DISK_FLOOR_ENDS: Final = 1.2

_ORDER: Final = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """What is known of a source that should be listening. `state` and `silent` are as its last heartbeat said.

    `at` is when that came, None where it never did; `since` when its state began.
    `spent` and `budget` are of today, in the same unit; None where it costs nothing or has no limit.
    """

    source: str
    at: datetime | None = None
    state: str = ""
    since: datetime | None = None
    reason: str = ""
    silent: bool = False
    item_at: datetime | None = None
    spent: float | None = None
    budget: float | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageHealth:
    """How a stage fares: records that wait for it now, and how many met their end, and were parked, in `minutes`."""

    stage: str
    waiting: int
    settled: int | None = None
    parked: int | None = None
    minutes: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskHealth:
    """A disk: what is free there, and below what sources are not read any more (bytes). `where` names it."""

    where: str
    free: int
    floor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelHealth:
    """A channel that does not take messages: how many wait and since when, how many were lost lately, and why."""

    channel: str
    waiting: int
    since: datetime | None
    lost: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known at a moment; None for what could not be looked at.

    `looking_since` is when whoever looks began to: before that, nobody can say that a heartbeat did not come.
    """

    now: datetime
    looking_since: datetime | None = None
    sources: Sequence[SourceHealth] | None = None
    stages: Sequence[StageHealth] | None = None
    disks: Sequence[DiskHealth] | None = None
    channels: Sequence[ChannelHealth] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCondition:
    """Something that is wrong since `since`, and told of once it has lasted for `patience`.

    `condition_id` is the kind of trouble and whose it is (`deaf:bluesky`). `firing`: it was seen to last that long.
    `well_since`: it seems to be over.
    """

    condition_id: str
    severity: Severity
    sentence: str
    since: datetime
    patience: timedelta = AT_ONCE
    firing: bool = False
    well_since: datetime | None = None

    @property
    def kind(self) -> str:
        """What trouble it is, one of KINDS: the rule that an alert of it has."""
        return self.condition_id.partition(":")[0]

    @property
    def subject(self) -> str:
        """Whose trouble it is: a source, a stage or a disk; `*` for all sources."""
        return self.condition_id.partition(":")[2]


# What each kind of trouble is called, where rules are listed.
KINDS: Final[Mapping[str, str]] = {
    "unheard": "Source not heard of",
    "deaf": "Source not listening",
    "paused": "Source paused",
    "silent": "Source silent",
    "budget-spent": "Budget spent",
    "budget-near": "Budget nearly spent",
    "stuck": "Stage stands still",
    "lag": "Stage behind",
    "parked": "Dead letters",
    "disk-floor": "Disk full",
    "disk-low": "Disk nearly full",
    "channel": "Channel takes no messages",
}


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What a rule says: `begins` above the first threshold, else between both."""

    condition_id: str
    severity: Severity
    patience: timedelta
    sentence: str
    begins: bool = True
    since: datetime | None = None


def look(facts: Facts, before: Sequence[HealthCondition]) -> list[HealthCondition]:
    """Give what is wrong now, by severity from the most urgent down, then by id.

    Args:
        facts: what is known.
        before: what this gave the last time.
    """
    known = {condition.condition_id: condition for condition in before}
    found: dict[str, HealthCondition] = {}
    for trouble in _troubles(facts):
        old = known.get(trouble.condition_id)
        if trouble.begins or old is not None:
            found[trouble.condition_id] = _condition(trouble, old, facts.now)
    for condition_id, old in known.items():
        if condition_id in found:
            continue
        if not _looked_at(old, facts):
            found[condition_id] = old
        elif old.firing:
            well_since = old.well_since or facts.now
            if facts.now - well_since < CALM:
                found[condition_id] = replace(old, well_since=well_since)
    return sorted(found.values(), key=lambda one: (-_ORDER.index(one.severity), one.condition_id))


def _condition(trouble: _Trouble, old: HealthCondition | None, now: datetime) -> HealthCondition:
    since = old.since if old is not None else min(trouble.since or now, now)
    return HealthCondition(
        condition_id=trouble.condition_id,
        severity=trouble.severity,
        sentence=trouble.sentence,
        since=since,
        patience=trouble.patience,
        firing=now - since >= trouble.patience or (old is not None and old.firing),
    )


def _looked_at(condition: HealthCondition, facts: Facts) -> bool:
    """Tell whether the facts say anything of what a condition is about."""
    if condition.kind in ("stuck", "lag", "parked"):
        return facts.stages is not None
    if condition.kind in ("disk-floor", "disk-low"):
        return facts.disks is not None
    if condition.kind == "channel":
        return facts.channels is not None
    if facts.sources is None:
        return False
    # What was wrong with a source that is not heard of now may still be.
    lost = {one.source for one in _unheard(facts.sources, facts.now)}
    return condition.kind == "unheard" or condition.subject not in lost


def _troubles(facts: Facts) -> Iterator[_Trouble]:
    yield from _of_sources(facts.sources or (), facts)
    for stage in facts.stages or ():
        yield from _of_stage(stage)
    for disk in facts.disks or ():
        yield from _of_disk(disk)
    for channel in facts.channels or ():
        yield from _of_channel(channel)


# --- sources


def _unheard(sources: Sequence[SourceHealth], now: datetime) -> list[SourceHealth]:
    return [
        one for one in sources if one.state != SourceState.STOPPED and (one.at is None or now - one.at > UNHEARD_AFTER)
    ]


def _of_sources(sources: Sequence[SourceHealth], facts: Facts) -> Iterator[_Trouble]:
    unheard = _unheard(sources, facts.now)
    if len(unheard) == len(sources) > 1:
        # The process that listens is gone: one message of that is enough.
        last = max((one.at for one in unheard if one.at is not None), default=None)
        said = f"No source has been heard of since {_clock(last)}" if last else "No source has ever been heard of"
        yield _lost("*", f"{said}: what listens is not running", last, facts)
        return
    for one in sources:
        if one in unheard:
            said = f"has not been heard of since {_clock(one.at)}" if one.at else "has never been heard of"
            yield _lost(one.source, f"The source {one.source} {said}: what listens to it is not running", one.at, facts)
        elif one.state != SourceState.STOPPED:
            yield from _of_state(one)
            yield from _of_budget(one)


def _lost(subject: str, said: str, last: datetime | None, facts: Facts) -> _Trouble:
    since = max((at for at in (last, facts.looking_since) if at is not None), default=None)
    sentence = f"{said}, or its heartbeats do not come through."
    return _Trouble(f"unheard:{subject}", Severity.CRITICAL, UNHEARD_PATIENCE, sentence, since=since)


def _of_state(one: SourceHealth) -> Iterator[_Trouble]:
    since = f" since {_clock(one.since)}" if one.since else ""
    why = f": {one.reason.rstrip('.')}" if one.reason else ""
    if one.state == SourceState.PAUSED:
        sentence = f"The source {one.source} is not read{since}, for want of room{why}."
        yield _Trouble(f"paused:{one.source}", Severity.WARNING, SILENT_PATIENCE, sentence, since=one.since)
    elif one.state != SourceState.LISTENING:
        said = "refuses us" if one.state == SourceState.REFUSED else "cannot be heard"
        sentence = f"The source {one.source} {said}{since}{why}. What is missed meanwhile is noted as a gap."
        yield _Trouble(f"deaf:{one.source}", Severity.CRITICAL, DEAF_PATIENCE, sentence, since=one.since)
    elif one.silent:
        last = f", the last came at {_clock(one.item_at)}" if one.item_at else ""
        sentence = f"The source {one.source} is connected and gives nothing{last}: that is unusually long for it."
        yield _Trouble(f"silent:{one.source}", Severity.WARNING, SILENT_PATIENCE, sentence, since=one.item_at)


def _of_budget(one: SourceHealth) -> Iterator[_Trouble]:
    if one.spent is None or not one.budget:
        return
    spent, budget = _amount(one.spent, one.currency), _amount(one.budget, one.currency)
    if one.spent >= one.budget:
        sentence = f"The source {one.source} has spent its budget of today, {budget}: nothing is read until tomorrow."
        yield _Trouble(f"budget-spent:{one.source}", Severity.WARNING, AT_ONCE, sentence)
    if one.spent >= BUDGET_NEAR * one.budget:
        sentence = f"The source {one.source} has spent {spent} of its budget of today, {budget}."
        yield _Trouble(f"budget-near:{one.source}", Severity.INFO, AT_ONCE, sentence, one.spent < one.budget)


# --- stages


def _of_stage(one: StageHealth) -> Iterator[_Trouble]:
    if one.waiting and one.settled == 0:
        sentence = f"{one.waiting:,} records wait for {one.stage}, and none was handled in {one.minutes} minutes."
        yield _Trouble(f"stuck:{one.stage}", Severity.CRITICAL, STUCK_PATIENCE, sentence)
    if one.waiting > LAG_ENDS:
        sentence = f"{one.stage} is {one.waiting:,} records behind: what is said now is found late, and told late."
        begins = one.waiting > LAG_BEGINS
        yield _Trouble(f"lag:{one.stage}", Severity.WARNING, LAG_PATIENCE, sentence, begins)
    if one.parked is not None and one.settled and _exceeds(one.parked, one.settled, PARKED_ENDS):
        sentence = (
            f"{one.stage} could not read {one.parked:,} of {one.settled:,} records in {one.minutes} minutes, which is "
            f"{one.parked / one.settled:.0%}: `soundings dead-letters list` shows why."
        )
        begins = _exceeds(one.parked, one.settled, PARKED_BEGINS)
        yield _Trouble(f"parked:{one.stage}", Severity.WARNING, AT_ONCE, sentence, begins)


def _exceeds(parked: int, settled: int, bounds: tuple[int, float]) -> bool:
    least, share = bounds
    return parked > least and parked > share * settled


# --- disks


def _of_disk(one: DiskHealth) -> Iterator[_Trouble]:
    free, floor = f"{one.free / 1e9:.1f} GB", f"{one.floor / 1e9:.1f} GB"
    if one.free < DISK_FLOOR_ENDS * one.floor:
        full = one.free < one.floor
        now = (
            f"below {floor} no source is read. Make room."
            if full
            else f"sources are read again, and are not below {floor}. This is over with "
            f"{DISK_FLOOR_ENDS * one.floor / 1e9:.1f} GB."
        )
        sentence = f"{free} are left on the disk of {one.where}: {now}"
        yield _Trouble(f"disk-floor:{one.where}", Severity.CRITICAL, AT_ONCE, sentence, full)
    if one.free < DISK_LOW_ENDS * one.floor:
        sentence = f"{free} are left on the disk of {one.where}; below {floor} sources are no longer read."
        begins = one.floor <= one.free < DISK_LOW * one.floor
        yield _Trouble(f"disk-low:{one.where}", Severity.WARNING, DISK_PATIENCE, sentence, begins)


# --- channels


def _of_channel(one: ChannelHealth) -> Iterator[_Trouble]:
    why = f": {one.why.rstrip('.')}" if one.why else ""
    if one.waiting:
        since = f" since {_clock(one.since)}" if one.since else ""
        verb = "waits" if one.waiting == 1 else "wait"
        sentence = f"{_messages(one.waiting)} {verb} for the channel {one.channel}{since}{why}."
        yield _Trouble(f"channel:{one.channel}", Severity.WARNING, CHANNEL_PATIENCE, sentence, since=one.since)
    elif one.lost:
        sentence = f"{_messages(one.lost)} could not be delivered by the channel {one.channel} lately{why}."
        yield _Trouble(f"channel:{one.channel}", Severity.WARNING, AT_ONCE, sentence)


def _messages(number: int) -> str:
    return "One message" if number == 1 else f"{number:,} messages"


# --- words and bodies


def _clock(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _amount(value: float, currency: str) -> str:
    return f"{value:,.2f} {currency}" if currency else f"{value:,g}"


def to_body(conditions: Iterable[HealthCondition]) -> dict[str, Any]:
    """Give conditions as the body of a document."""
    return {
        one.condition_id: {
            "severity": one.severity.value,
            "sentence": one.sentence,
            "since_ms": to_ms(one.since),
            "patience_seconds": one.patience.total_seconds(),
            "firing": one.firing,
            "well_since_ms": None if one.well_since is None else to_ms(one.well_since),
        }
        for one in conditions
    }


def from_body(body: Mapping[str, Any]) -> list[HealthCondition]:
    """Read what `to_body` wrote."""
    return [
        HealthCondition(
            condition_id=condition_id,
            severity=Severity(one["severity"]),
            sentence=one["sentence"],
            since=from_ms(one["since_ms"]),
            patience=timedelta(seconds=one["patience_seconds"]),
            firing=one["firing"],
            well_since=None if one["well_since_ms"] is None else from_ms(one["well_since_ms"]),
        )
        for condition_id, one in body.items()
    ]
