"""What a live source is to the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.brand import Brand
from domain.clock import Clock
from service.setting import Setting

if TYPE_CHECKING:
    from ingest.file_shape import FileSettings
    from ingest.normalise import NormaliserSettings
    from ingest.source import LiveSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What a source is built from.

    `values` are its settings by the last part of their keys, secrets as texts, lists as sequences. `normalise` holds
    what is the same for all sources; one that gives HTML or names a zone replaces that. `brands` are for sources that
    are asked for words. `rows` is how rows of files are read (`[source.file]`), for sources of files.
    """

    values: Mapping[str, Any]
    normalise: NormaliserSettings
    brands: Sequence[Brand]
    clock: Clock
    allow_private: bool = False
    rows: FileSettings | None = None

    def texts(self, name: str) -> tuple[str, ...]:
        """Give a list of texts."""
        return tuple(self.values[name])


def _no_notes(_: SourceContext) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """One live source. `needs` names the extra that must be installed, "" for none; `page` is its page of the docs.

    `keyless`: it listens with its defaults. `has_past`: what it builds is a `History`. `tells_engagement`: what it
    builds `TellsEngagement`, whatever the brands. `notes` gives what it cannot do for these brands, a line each, though
    it can be built. `build` imports what it needs and connects nothing; it raises ConfigError with one line a problem,
    each naming the setting.
    """

    name: str
    summary: str
    settings: tuple[Setting, ...]
    build: Callable[[SourceContext], LiveSource]
    needs: str = ""
    keyless: bool = False
    has_past: bool = False
    tells_engagement: bool = False
    notes: Callable[[SourceContext], Sequence[str]] = _no_notes

    @property
    def page(self) -> str:
        """Where it is explained."""
        return f"docs/sources/{self.name}.md"
