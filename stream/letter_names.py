"""Whether a dead letter is about a post or an author, as far as its bytes say so.

A letter of a later stage knows its post. One of the ingest stage holds what a source sent, good or bad, and is looked
through for the id itself: where it stands as a whole value. A wrong hit costs a record that could not be read anyway; a
miss leaves what somebody wished gone. So long ids count anywhere, short ones where the name of the field is of an id.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from domain.records import DeadLetter

_LONG: Final = 8
_ID_NAME: Final = re.compile(
    r"(?:id|uri|url|guid|key|did|author|user|username|handle|acct|by)(?:_str)?$", re.IGNORECASE
)
# The fields of a row that is no JSON, with or without quotes.
_FIELD: Final = re.compile(rb"[^\s,;|\"']+")


class Subject(NamedTuple):
    """A post or an author: `key` is `source:native id`."""

    kind: Literal["post", "author"]
    source: str
    key: str


class LetterNames:
    """Looks for some subjects in letters."""

    def __init__(self, subjects: Iterable[Subject]) -> None:
        self._posts: set[str] = set()
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        for kind, source, key in subjects:
            if kind == "post":
                self._posts.add(key)
            self._names[source].add(key.removeprefix(f"{source}:"))

    def names(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is about one of the subjects."""
        if letter.post_id is not None and letter.post_id in self._posts:
            return True
        wanted = self._wanted(letter.source)
        return bool(wanted) and any(value in wanted for value in _values(letter.payload))

    def _wanted(self, source: str | None) -> set[str]:
        if source is None:
            return set().union(*self._names.values())
        return self._names.get(source, set())


def _values(payload: bytes) -> Iterator[str]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        # Of what is cut off, or a row of a table.
        for field in _FIELD.findall(payload):
            if len(field) >= _LONG:
                yield field.decode("utf-8", "replace")
        return
    yield from _walk(document)


def _walk(document: Any) -> Iterator[str]:
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((name, one) for one in value)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value)
            if (len(text) >= _LONG and isinstance(value, str)) or _ID_NAME.search(name):
                yield text
