"""Listening in Elasticsearch: heartbeats and gaps among the events that Kibana shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from domain.clock import to_ms
from domain.listening import SourceReport
from domain.records import Event
from search.elastic_bulk import Op
from search.listening import GapReport, gap_of, newest
from search.store import MAX_GAPS
from stream.codec import to_json

# Of what is kept of a source, one heartbeat a minute.
_MINUTE_MS: Final = 60_000
_MOST_SOURCES: Final = 500


def ops_of(events: Iterable[Event], index: str) -> list[Op]:
    """Give what writes events: a heartbeat takes the place of the one before in its minute, a gap that of itself."""
    return [Op("index", index, _id(event), to_json(document_of(event))) for event in events]


def _id(event: Event) -> str:
    if event.kind == "gap":
        return f"gap:{event.source}:{event.detail.get('start_ms')}"
    return f"{event.kind}:{event.source}:{to_ms(event.at) // _MINUTE_MS}"


def document_of(event: Event) -> dict[str, Any]:
    """Give an event as it is indexed: what panels count as fields of their own, the rest as it is."""
    detail = event.detail
    document: dict[str, Any] = {
        "kind": event.kind,
        "source": event.source,
        "at": event.at,
        "detail": {name: value for name, value in detail.items() if value is not None},
        "state": detail.get("state"),
        "silent": detail.get("silent"),
        "per_minute": detail.get("per_minute"),
        "errors": detail.get("errors"),
        "behind_seconds": detail.get("behind_seconds"),
        "spent_today": detail.get("spent_today"),
        "start_ms": detail.get("start_ms"),
        "end_ms": detail.get("end_ms"),
    }
    gap = gap_of(event)
    if gap is not None:
        document["gap_seconds"] = (gap.end - gap.start).total_seconds()
    return {name: value for name, value in document.items() if value is not None}


def sources_body() -> dict[str, Any]:
    """Give the search for the last heartbeat of each source."""
    return {
        "query": {"term": {"kind": "heartbeat"}},
        "sort": [{"at": "desc"}],
        "collapse": {"field": "source"},
        "size": _MOST_SOURCES,
    }


def gaps_body(start: datetime, end: datetime) -> dict[str, Any]:
    """Give the search for gaps that touch `[start, end)`."""
    filters = [
        {"term": {"kind": "gap"}},
        {"range": {"end_ms": {"gt": to_ms(start)}}},
        {"range": {"start_ms": {"lt": to_ms(end)}}},
    ]
    return {"query": {"bool": {"filter": filters}}, "sort": ["start_ms", "source"], "size": MAX_GAPS}


def _event(hit: Mapping[str, Any]) -> Event:
    source = hit["_source"]
    return Event(
        kind=source["kind"],
        source=source["source"],
        at=datetime.fromisoformat(source["at"]),
        detail=source.get("detail", {}),
    )


def reports_of(hits: Sequence[Mapping[str, Any]]) -> list[SourceReport]:
    """Read the answer to `sources_body`."""
    return newest(map(_event, hits))


def gaps_of(hits: Sequence[Mapping[str, Any]]) -> list[GapReport]:
    """Read the answer to `gaps_body`."""
    return [gap for hit in hits if (gap := gap_of(_event(hit))) is not None]
