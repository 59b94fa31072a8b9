"""The words in which Kibana's objects are described: data views, panels, saved searches and dashboards.

A description knows nothing of how Kibana 9.2 stores it; `deploy.kibana.objects` does. Tests read it too, to ask the
same questions of a store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

# Lens's name for "no field, the document itself".
RECORDS: Final = "___records___"
# A grid of a dashboard has this many columns.
COLUMNS: Final = 48

Calculation = Literal["count", "unique_count", "sum", "average", "min", "max"]
Shape = Literal["number", "line", "bar_stacked", "bar_horizontal", "donut", "table", "cloud"]
Kind = Literal["string", "number", "date", "boolean"]


@dataclass(frozen=True, slots=True)
class View:
    """A data view: an index or alias, and the date by which Kibana's time picker filters.

    `hidden` fields are left out of what Discover shows. `links` fields are shown as links.
    """

    object_id: str
    index: str
    name: str
    time: str
    hidden: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One calculation over the documents of a bucket; `where` (KQL) leaves the others out of this metric alone.

    `decimals` None shows whole numbers as they are. `kind` is what comes out.
    """

    key: str
    label: str
    calculation: Calculation
    field: str = RECORDS
    where: str = ""
    decimals: int | None = None
    kind: Kind = "number"


@dataclass(frozen=True, slots=True)
class Values:
    """Buckets by value of a field: the `size` with the most of the panel's first metric, or the first by name."""

    key: str
    label: str
    field: str
    size: int
    kind: Kind = "string"
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """Buckets by question: each (label, KQL) is one."""

    key: str
    label: str
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Over:
    """Buckets of time; the width follows the time picker."""

    key: str
    label: str
    field: str


Bucketing = Values | Answers | Over


@dataclass(frozen=True, slots=True)
class Mark:
    """Documents of another view, drawn as marks on the axis of time of a line or stacked bar, by that view's date.

    `text` is the field whose value stands beside a mark, `more` are fields that its tooltip shows.
    """

    key: str
    label: str
    view: View
    where: str
    text: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One Lens panel.

    Buckets nest in the given order: `Values` before `Over` means the most frequent of the whole time. A line or stacked
    bar shows its `Over` along the axis and the other bucketing by colour, and `marks` over both.
    """

    object_id: str
    title: str
    description: str
    view: View
    shape: Shape
    metrics: tuple[Metric, ...]
    buckets: tuple[Bucketing, ...] = ()
    where: str = ""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """A saved search of Discover, newest first by the view's date."""

    object_id: str
    title: str
    description: str
    view: View
    columns: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where something stands on a dashboard: column, row, width and height in grid units."""

    shown: Panel | Search
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Control:
    """A list above a dashboard from which values of a field are chosen."""

    control_id: str
    title: str
    view: View
    field: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `span` is the time it opens with ("now-7d"); `refresh_seconds` 0 does not refresh by itself."""

    object_id: str
    title: str
    description: str
    span: str
    refresh_seconds: int
    placed: tuple[Placed, ...]
    controls: tuple[Control, ...] = ()

    def panels(self) -> Iterator[Panel]:
        """Give the Lens panels."""
        for place in self.placed:
            if isinstance(place.shown, Panel):
                yield place.shown

    def searches(self) -> Iterator[Search]:
        """Give the saved searches."""
        for place in self.placed:
            if isinstance(place.shown, Search):
                yield place.shown

    def views(self) -> Iterator[View]:
        """Give the data views that it needs, each once."""
        seen: set[str] = set()
        marked = (mark.view for panel in self.panels() for mark in panel.marks)
        placed = (place.shown.view for place in self.placed)
        for view in (*placed, *marked, *(control.view for control in self.controls)):
            if view.object_id not in seen:
                seen.add(view.object_id)
                yield view
