"""The lease: of several evaluators, one works; when it dies, another goes on once its time is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from domain.clock import from_ms, to_ms
from domain.documents import ABSENT, Change, Conflict, Documents

KIND: Final = "lease"


class Lease:
    """The right to do something alone, held for `seconds` at a time. Clocks of machines may differ by less than that.

    It keeps work from being done twice; that nobody is told twice does not hang on it, but on ids and revisions.
    """

    def __init__(self, documents: Documents, name: str, holder: str, seconds: float = 90.0) -> None:
        self._documents, self._name, self._holder = documents, name, holder
        self._length = timedelta(seconds=seconds)

    def take(self, now: datetime) -> bool:
        """Take or renew it; False while somebody else has it.

        Raises:
            RetryLater, BackendDown: as the documents.
        """
        found = self._documents.get(KIND, [self._name]).get(self._name)
        if found is not None and found.body["holder"] != self._holder and _until(found.body) > now:
            return False
        body = {"holder": self._holder, "until_ms": to_ms(now + self._length)}
        try:
            self._documents.apply([Change(KIND, self._name, body, found.revision if found else ABSENT)])
        except Conflict:
            return False
        return True

    def holder(self, now: datetime) -> str:
        """Tell who has it, "" for nobody."""
        found = self._documents.get(KIND, [self._name]).get(self._name)
        return str(found.body["holder"]) if found is not None and _until(found.body) > now else ""

    def release(self) -> None:
        """Let go of it, if it is ours."""
        found = self._documents.get(KIND, [self._name]).get(self._name)
        if found is not None and found.body["holder"] == self._holder:
            try:
                self._documents.apply([Change(KIND, self._name, None, found.revision)])
            except Conflict:
                return


def _until(body: Mapping[str, Any]) -> datetime:
    return from_ms(body["until_ms"])
