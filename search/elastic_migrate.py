"""Months written anew under the present template, each switched at one moment while workers go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from domain.errors import BackendDown, ConfigError, ServiceError
from search.elastic_bulk import Bulk, Op
from search.elastic_document import STORY_ID, body_of, mention_of
from search.elastic_http import Elastic
from search.elastic_months import Month, find_months, is_blocked, remove_copy, set_block, tidy
from search.elastic_reads import month_indices, refresh, scan
from search.elastic_settings import ElasticSettings
from search.elastic_setup import template
from stream.codec import from_json, to_json

_BATCH: Final = 1_000
_AT_ONE_MOMENT: Final = 20_000

# Told the index and the number of documents that were written.
Progress = Callable[[str, int], None]


def migrate(
    elastic: Elastic, bulk: Bulk, settings: ElasticSettings, *, every: bool = False, progress: Progress | None = None
) -> list[str]:
    """Write each month that another version of the template made into a new index; give what was done, a line each.

    A month is copied while it is written to; then writes to it are refused for as long as the copy of what came
    meanwhile takes, and workers try again. The new index takes the place of the old one, and its name as an alias, at
    one moment. What a run that was cut off has left is cleared away first, of every month: one run at a time.

    Args:
        elastic: where.
        bulk: to write with.
        settings: of both.
        every: also months that need it not.
        progress: told how far it is.

    Raises:
        ConfigError: two indices hold mentions of a month.
        AccessRefused: a right is missing.
        BackendDown: a document cannot be written, or the copy is not whole: the old index stays in use.
        RetryLater: no answer; start again.
    """
    strange = [one for one in month_indices(elastic, settings.names) if settings.names.month_of(one) is None]
    if strange:
        raise ConfigError(f"the index {strange[0]} is behind our alias and is none of our months: take it out")
    wanted = int(template("mentions", settings)["_meta"]["template_version"])
    found = find_months(elastic, settings.names)
    # All of them before any is copied: workers wait for them.
    done = [line for month in found for line in tidy(elastic, settings, month)]
    for month in found:
        version = _version(elastic, month.index)
        if version == wanted and not every:
            done.append(f"{month.index}: version {version}, as it should be")
            continue
        new = _Migration(elastic, bulk, settings, month, progress or _silent).migrate()
        done.append(f"{month.index}: version {version} replaced by {wanted}, now {new}")
    return done


class _Migration:
    """One month on its way into a new index."""

    def __init__(
        self, elastic: Elastic, bulk: Bulk, settings: ElasticSettings, month: Month, progress: Progress
    ) -> None:
        self._elastic, self._bulk, self._names, self._progress = elastic, bulk, settings.names, progress
        self._old, self._name = month.index, settings.names.month(month.month)
        # No number twice: a run that goes on after all must not meet what this one makes.
        self._new = f"{self._name}-{month.last + 1}"
        self._written = 0

    def migrate(self) -> str:
        """Do it, and give the new index."""
        made = self._elastic.ask("PUT", f"/{self._new}", {}, also=(400,), patient=True)
        # It may have been made by a request of ours whose answer was lost.
        if made.status == 400 and made.error_type != "resource_already_exists_exception":
            raise self._elastic.refused(made, f"PUT /{self._new}")
        try:
            # The template puts it behind the alias at once, while it is empty.
            # Gone already where only the answer to a first try was lost.
            self._aliases({"remove": {"index": self._new, "alias": self._names.mentions}}, also=(404,))
            last = self._copy(after_sequence=None)
            set_block(self._elastic, self._old, blocked=True)
            # Writes at one moment become visible in any order: those a little before the last are copied again.
            self._copy(after_sequence=last - _AT_ONE_MOMENT)
            self._remove_what_went()
            self._check()
            self._switch()
        except BaseException as exc:
            # An answer may be lost after the switch was made, and then the new index is all there is.
            if not self._is_switched():
                remove_copy(self._elastic, self._names, self._new, of=self._old)
                set_block(self._elastic, self._old, blocked=False)
                raise
            if not isinstance(exc, ServiceError):
                raise
        return self._new

    def _switch(self) -> None:
        # A name cannot be an index and an alias; all changes are one.
        self._aliases(
            {"remove_index": {"index": self._old}},
            {"add": {"index": self._new, "alias": self._names.mentions}},
            {"add": {"index": self._new, "alias": self._name}},
        )

    def _is_switched(self) -> bool:
        """Tell whether the new index has the month's name.

        Raises:
            RetryLater: nobody answers; the next run clears up.
        """
        answer = self._elastic.ask("GET", f"/{self._new}/_alias", also=(404,), patient=True)
        return answer.status == 200 and any(self._name in one["aliases"] for one in answer.body.values())

    def _aliases(self, *actions: Mapping[str, Any], also: tuple[int, ...] = ()) -> None:
        self._elastic.ask("POST", "/_aliases", {"actions": list(actions)}, also=also, patient=True)

    def _copy(self, after_sequence: int | None) -> int:
        """Copy what was written after a number; give the highest number seen."""
        last = -1 if after_sequence is None else after_sequence
        refresh(self._elastic, self._old, patient=True)
        ops: list[Op] = []
        for hit in scan(self._elastic, self._old, {"match_all": {}}, after_sequence=after_sequence):
            last = max(last, hit["_seq_no"])
            # Over the same version, for a story may have moved since.
            ops.append(Op("index", self._new, hit["_id"], _anew(hit["_source"]), hit["_version"], strictly=False))
            if len(ops) == _BATCH:
                self._write(ops)
                ops = []
        self._write(ops)
        return last

    def _write(self, ops: Iterable[Op]) -> None:
        for outcome in self._bulk.write(list(ops)):
            if isinstance(outcome, Exception):
                raise BackendDown(f"{self._new} does not take what {self._old} has: {outcome}")
            self._written += 1
        self._progress(self._old, self._written)

    def _remove_what_went(self) -> None:
        """Remove from the new index what was removed from the old one meanwhile."""
        refresh(self._elastic, self._new, patient=True)
        if self._count(self._old) == self._count(self._new):
            return
        kept = {hit["_id"] for hit in scan(self._elastic, self._old, {"match_all": {}})}
        copied = (hit["_id"] for hit in scan(self._elastic, self._new, {"match_all": {}}))
        self._bulk.write([Op("delete", self._new, one) for one in copied if one not in kept])
        refresh(self._elastic, self._new, patient=True)

    def _check(self) -> None:
        if not is_blocked(self._elastic, self._old):
            raise BackendDown(
                f"writes to {self._old} were let in meanwhile: does another migration run? It stays in use"
            )
        old, new = self._count(self._old), self._count(self._new)
        if old != new:
            raise BackendDown(f"{self._new} has {new} mentions, {self._old} {old}: the old one stays in use")

    def _count(self, index: str) -> int:
        body = {"size": 0, "track_total_hits": True}
        answer = self._elastic.ask("POST", f"/{index}/_search", body, patient=True)
        count: int = answer.body["hits"]["total"]["value"]
        return count


def _anew(source: Mapping[str, Any]) -> bytes:
    """Give a document as this program writes it, with the story that it has."""
    document = from_json(body_of(mention_of(source)))
    if STORY_ID in source:
        document[STORY_ID] = source[STORY_ID]
    return to_json(document)


def _version(elastic: Elastic, index: str) -> int:
    mappings = elastic.ask("GET", f"/{index}/_mapping").body.values()
    return max(int(one["mappings"].get("_meta", {}).get("template_version", 0)) for one in mappings)


def _silent(index: str, written: int) -> None:
    pass
