"""The stages of the flow, once: their names, what they mean, and what they read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domain.records import Topic

StageName: TypeAlias = Literal["ingest", "enrich", "index"]


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage. `topics` is what its `group` reads; empty for a stage that reads sources."""

    name: StageName
    meaning: str
    group: str = ""
    topics: tuple[str, ...] = ()


STAGES: tuple[StageFacts, ...] = (
    StageFacts("ingest", "reads sources, drops repeats, keeps what names a brand"),
    StageFacts("enrich", "language and sentiment", "enrich", (Topic.POSTS.value,)),
    StageFacts("index", "writes mentions to the store", "index", (Topic.MENTIONS.value,)),
)
STAGE_NAMES: tuple[StageName, ...] = tuple(stage.name for stage in STAGES)


def stages_of(names: Iterable[StageName]) -> list[StageFacts]:
    """Give the facts of the stages named, in the order of the flow."""
    wanted = set(names)
    return [stage for stage in STAGES if stage.name in wanted]
