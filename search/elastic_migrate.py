"""Months written anew under the present template, each switched at one moment while workers go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from domain.errors import BackendDown
from search.elastic_bulk import Bulk, Op
from search.elastic_document import STORY_ID, body_of, mention_of
from search.elastic_http import Elastic
from search.elastic_reads import month_indices, refresh, scan
from search.elastic_settings import ElasticSettings
from search.elastic_setup import template
from stream.codec import from_json, to_json

_NAME: Final = re.compile(r"(?P<month>.+-20\d\d\.\d\d)(?:-(?P<number>\d+))?", re.ASCII)
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
    one moment. What a run that was cut off has left is removed by the next one.

    Args:
        elastic: where.
        bulk: to write with.
        settings: of both.
        every: also months that need it not.
        progress: told how far it is.

    Raises:
        BackendDown: a document cannot be written, or the copy is not whole: the old index stays in use.
        RetryLater: no answer; start again.
    """
    wanted = int(template("mentions", settings)["_meta"]["template_version"])
    done = []
    for index in month_indices(elastic, settings.names):
        version = _version(elastic, index)
        if version == wanted and not every:
            done.append(f"{index}: version {version}, as it should be")
            continue
        new = _Month(elastic, bulk, settings, index, progress or _silent).migrate()
        done.append(f"{index}: version {version} replaced by {wanted}, now {new}")
    return done


class _Month:
    """One month on its way into a new index."""

    def __init__(self, elastic: Elastic, bulk: Bulk, settings: ElasticSettings, old: str, progress: Progress) -> None:
        self._elastic, self._bulk, self._settings, self._progress = elastic, bulk, settings, progress
        found = _NAME.fullmatch(old)
        if found is None:
            raise BackendDown(f"the index {old} is behind our alias and is none of our months: take it out")
        self._old, self._month = old, found["month"]
        self._new = f"{found['month']}-{int(found['number'] or 1) + 1}"
        self._written = 0

    def migrate(self) -> str:
        """Do it, and give the new index."""
        ask, alias = self._elastic.ask, self._settings.names.mentions
        # What a run that was cut off has left; it is not behind the alias, and so nobody reads it.
        ask("DELETE", f"/{self._new}", also=(404,), patient=True)
        ask("PUT", f"/{self._new}", {}, patient=True)
        # The template puts it behind the alias at once, while it is empty.
        self._aliases({"remove": {"index": self._new, "alias": alias}})
        try:
            last = self._copy(after_sequence=None)
            self._block(writes=True)
            try:
                # Writes at one moment become visible in any order: those a little before the last are copied again.
                self._copy(after_sequence=last - _AT_ONE_MOMENT)
                self._remove_what_went()
                self._check()
                # A name cannot be an index and an alias; both changes are one.
                actions: list[dict[str, Any]] = [
                    {"remove_index": {"index": self._old}},
                    {"add": {"index": self._new, "alias": alias}},
                    {"add": {"index": self._new, "alias": self._month}},
                ]
                self._aliases(*actions)
            except BaseException:
                self._block(writes=False)
                raise
        except BackendDown:
            ask("DELETE", f"/{self._new}", also=(404,), patient=True)
            raise
        return self._new

    def _aliases(self, *actions: Mapping[str, Any]) -> None:
        self._elastic.ask("POST", "/_aliases", {"actions": list(actions)}, patient=True)

    def _block(self, *, writes: bool) -> None:
        body = {"index.blocks.write": writes}
        self._elastic.ask("PUT", f"/{self._old}/_settings", body, patient=True)

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
