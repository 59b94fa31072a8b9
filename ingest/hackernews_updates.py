"""What changes on Hacker News after it was written: edits, deletions, what was flagged and what came back."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from domain.clock import Clock
from domain.errors import ConfigError, RetryLater
from ingest.hackernews_items import EDITED, fingerprint, hit_id, hit_of, item_of, written
from ingest.hackernews_search import PAGE
from ingest.source import Item, Removed, Restored
from ingest.web import Asker, Fetcher

# About a day of Hacker News: what was given before that has no words to compare with.
MAX_KNOWN = 20_000
# An item is one question, and whoever asks the reader to stop is not kept waiting for all of them.
_AT_ONCE = 5
# The list holds some dozens; more of it is not asked for.
MAX_CHANGED = 500


@dataclass(frozen=True, slots=True)
class _Known:
    words: bytes
    story_id: object = None
    gone: bool = False


class Updates:
    """Follows the list of changed items in the live data. Not thread-safe.

    It never raises: without it the search still is read, and `trouble` says what is not heard.
    """

    def __init__(self, address: str, fetcher: Fetcher, clock: Clock) -> None:
        self._address, self._clock = address, clock
        self._asker = Asker(fetcher, setting="source.hackernews.updates_address", page=PAGE, clock=clock)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changed: deque[str] = deque()
        self._not_before = float("-inf")
        self.trouble, self.errors = "", 0

    @property
    def waiting(self) -> bool:
        """Tell whether changed items are still to be asked for."""
        return bool(self._changed)

    def gave(self, hits: Iterable[Mapping[str, Any]]) -> None:
        """Take note of the words that were given."""
        for hit in hits:
            self._keep(hit_id(hit), _Known(fingerprint(hit), hit.get("story_id")))

    def look(self) -> None:
        """Ask which items have changed."""
        if self._address and self._clock.monotonic() >= self._not_before:
            found = self._ask("updates")
            changed = found.get("items") if isinstance(found, dict) else None
            ids = [str(name) for name in changed if isinstance(name, int)] if isinstance(changed, list) else []
            self._changed.extend(dict.fromkeys(ids[:MAX_CHANGED]))

    def take(self, cursor: str) -> list[Item]:
        """Ask for some of them and give what is new about them; `cursor` is the place of the search."""
        items: list[Item] = []
        for _ in range(min(_AT_ONCE, len(self._changed))):
            found = self._ask(f"item/{self._changed[0]}")
            if not self._changed:
                break
            self._changed.popleft()
            if isinstance(found, dict):
                items += self._read(found, cursor)
        return items

    def _ask(self, what: str) -> Any:
        try:
            found = self._asker.ask_json(f"{self._address}/v0/{what}.json")
            self.trouble = ""
            return found
        except RetryLater as exc:
            reason, wait = str(exc), exc.after_seconds
        except ConfigError as exc:
            reason, wait = exc.problems[0], 300.0
        # What changed meanwhile is in the next list, or was in one that nobody has read.
        self._changed.clear()
        self.errors += 1
        self.trouble = f"edits and deletions are not heard: {reason}"
        self._not_before = self._clock.monotonic() + wait
        return None

    def _read(self, found: Mapping[str, Any], cursor: str) -> list[Item]:
        name = found.get("id")
        if not isinstance(name, int):
            return []
        known = self._known.get(str(name))
        hit = hit_of(found, known.story_id if known is not None else None)
        if found.get("deleted") is True or found.get("dead") is True:
            return self._gone(hit, known, "deleted" if found.get("deleted") is True else "dead", cursor)
        if found.get("type") not in ("story", "comment"):
            return []
        words = fingerprint(hit)
        self._keep(str(name), replace(known or _Known(words), words=words, gone=False))
        if known is None or (known.words == words and not known.gone):
            # Its votes or answers have changed; or nobody knows what it said before.
            return []
        # Nothing says when it was edited.
        edited = item_of(hit | {EDITED: max(int(self._clock.now().timestamp()), written(hit) + 1)}, cursor)
        back = Restored(restored_at=self._clock.now(), native_id=str(name))
        return [replace(edited, content=back), edited] if known.gone else [edited]

    def _gone(self, hit: Mapping[str, Any], known: _Known | None, reason: str, cursor: str) -> list[Item]:
        if known is not None and known.gone:
            return []
        self._keep(hit_id(hit), replace(known or _Known(b""), gone=True))
        removed = Removed(native_id=hit_id(hit), removed_at=self._clock.now(), reason=reason)
        return [replace(item_of(hit, cursor), content=removed)]

    def _keep(self, name: str, known: _Known) -> None:
        self._known[name] = known
        self._known.move_to_end(name)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
