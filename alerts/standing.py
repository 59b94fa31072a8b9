"""What every rule sees of every brand, and how the evaluator fares, as its documents tell whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.evaluator import EVALUATOR, STATUS, WATCH
from alerts.records import Doubt, Reading, WatchState
from alerts.series import BUCKET_MS
from alerts.stored import reading_of
from domain.clock import from_ms, to_ms
from domain.documents import Change, Documents

# It looks once a minute; who has missed so many looks is not heard of.
SILENT_AFTER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one rule sees of one brand. `end` is where the last window ends; `reading` None where there is none."""

    rule_id: str
    brand_id: str
    state: WatchState
    end: datetime
    reading: Reading | None = None
    doubts: tuple[Doubt, ...] = ()
    alert_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How the evaluator's last look at everything went.

    `at` is by its clock; `edge` is the event time up to which it could look, `late_since` when that began to lie too
    far back. `states` counts watches by state; `told` is how many messages it had to tell.
    """

    at: datetime
    edge: datetime
    late_since: datetime | None = None
    holder: str = ""
    watches: int = 0
    recounted_hours: int = 0
    told: int = 0
    states: Mapping[str, int] = field(default_factory=dict)

    def is_silent(self, now: datetime) -> bool:
        """Tell whether nothing was heard of it for longer than it may be busy."""
        return now - self.at >= SILENT_AFTER


def standing_of(watch_id: str, body: Mapping[str, Any]) -> Standing:
    """Read the document of a watch, as the evaluator writes it."""
    rule_id, _, brand_id = watch_id.partition(":")
    reading = body.get("reading")
    return Standing(
        rule_id=rule_id,
        brand_id=brand_id,
        state=WatchState(body["state"]),
        end=from_ms(body["end_ms"]),
        reading=None if reading is None else reading_of(reading),
        doubts=tuple(Doubt(each) for each in body.get("doubts", ())),
        alert_id=str(body.get("alert_id") or ""),
    )


def standings(documents: Documents) -> list[Standing]:
    """Give what every rule sees of every brand, by rule and brand."""
    found: list[Standing] = []
    after = ""
    while page := documents.scan(WATCH, after=after):
        found += [standing_of(each.doc_id, each.body) for each in page]
        after = page[-1].doc_id
    return found


def pulse(documents: Documents) -> Pulse | None:
    """Give how the evaluator's last look went; None where there never was one."""
    found = documents.get(STATUS, [EVALUATOR]).get(EVALUATOR)
    if found is None:
        return None
    body, late = found.body, found.body.get("late_since_ms")
    return Pulse(
        at=from_ms(body["at_ms"]),
        edge=from_ms(body["edge_ms"]),
        late_since=None if late is None else from_ms(late),
        holder=str(body["holder"]),
        watches=int(body["watches"]),
        recounted_hours=int(body["recounted_hours"]),
        told=int(body["told"]),
        states=dict(body["states"]),
    )


def judged_until(documents: Documents, now: datetime) -> datetime:
    """Give where the last bucket ends that is complete and was judged; later ones hold too little, or nothing yet."""
    last = pulse(documents)
    edge = now if last is None else min(last.edge, now)
    return from_ms(to_ms(edge) // BUCKET_MS * BUCKET_MS)


def noted(given: Pulse) -> Change:
    """Give the change that keeps how a look went, for `pulse`."""
    body = {
        "at_ms": to_ms(given.at),
        "edge_ms": to_ms(given.edge),
        "late_since_ms": None if given.late_since is None else to_ms(given.late_since),
        "holder": given.holder,
        "watches": given.watches,
        "states": dict(given.states),
        "recounted_hours": given.recounted_hours,
        "told": given.told,
    }
    return Change(STATUS, EVALUATOR, body)
