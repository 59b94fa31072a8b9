"""The YouTube Data API: one question at a time, counted against the day's quota."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from domain.clock import Clock
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.site_time import said_at
from ingest.web import Answer, Asker, Fetcher

PAGE = "docs/sources/youtube.md"
KEY_SETTING = "source.youtube.api_key"
# Where the quota's day ends.
_PACIFIC = ZoneInfo("America/Los_Angeles")
_SPENT = ("quotaExceeded", "dailyLimitExceeded")
_TOO_FAST = ("rateLimitExceeded", "userRateLimitExceeded")
# What refuses one video or playlist and nothing else.
_OF_ONE_THING = ("youtube.commentThread", "youtube.comment", "youtube.playlistItem", "youtube.video")

Bucket = Literal["units", "searches"]


class Refused(Exception):
    """One video, channel or playlist cannot be read; `reason` is the API's word for why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class QuotaSpent(RetryLater):
    """A bucket of the day's quota is empty; `after_seconds` lasts until it is filled again."""


@dataclass(slots=True)
class Spent:
    """What was used of the quota on `day` (of the Pacific). Searches have a bucket of their own."""

    day: str = ""
    units: int = 0
    searches: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says, and when its server said it."""

    body: Mapping[str, Any]
    at: datetime


class Api:
    """Asks the API. Every question costs 1, also one that is refused. Not thread-safe."""

    def __init__(self, address: str, key: str, fetcher: Fetcher, clock: Clock, limits: Spent, spent: Spent) -> None:
        self._address, self._key, self._clock = address.rstrip("/"), key, clock
        self._limits, self.spent = limits, spent
        self._asker = Asker(fetcher, setting=KEY_SETTING, page=PAGE, clock=clock)
        self._slower = Backoff(first_seconds=5.0, most_seconds=600.0)

    def ask(self, what: str, asked: Mapping[str, str | int], *, bucket: Bucket = "units") -> Said:
        """Give what the API says.

        Raises:
            Refused: this one thing cannot be had.
            QuotaSpent: until midnight in California.
            RetryLater: as `Asker`.
            ConfigError: the key is refused, or may not do this.
        """
        self._pay(bucket)
        # The key goes into a header: addresses are shown in errors.
        url = f"{self._address}/{what}?{urlencode(asked)}"
        answer = self._asker.ask(url, headers={"X-Goog-Api-Key": self._key}, taken=(403,))
        if answer.status != 200:
            self._refuse(answer, bucket)
        found = self._asker.read_json(answer)
        if not isinstance(found, dict) or not isinstance(found.get("items", []), list):
            raise self._asker.unreadable("the YouTube API gave no list")
        self._slower.reset()
        return Said(found, said_at(answer.headers, self._clock.now()))

    def _pay(self, bucket: Bucket) -> None:
        today = self._clock.now().astimezone(_PACIFIC).date().isoformat()
        if today != self.spent.day:
            self.spent.day, self.spent.units, self.spent.searches = today, 0, 0
        used, limit = getattr(self.spent, bucket), getattr(self._limits, bucket)
        if used >= limit:
            raise self._tomorrow(f"the {limit:,} {bucket} a day of source.youtube.daily_{bucket} are spent")
        setattr(self.spent, bucket, used + 1)

    def _refuse(self, answer: Answer, bucket: Bucket) -> None:
        reason, domain = _why(answer.body)
        if answer.status == 403 and reason in _SPENT:
            raise self._tomorrow(f"YouTube says that the day's quota of {bucket} is spent ({reason})")
        if answer.status == 403 and reason in _TOO_FAST:
            raise RetryLater(f"YouTube asks for fewer questions ({reason})", self._slower.next())
        if answer.status == 404 or domain in _OF_ONE_THING or reason in ("commentsDisabled", "processingFailure"):
            raise Refused(reason or "notFound")
        if answer.status == 403 or "KEY" in reason.upper():
            raise ConfigError(f"{KEY_SETTING}: YouTube refuses it ({answer.status} {reason}); see {PAGE}")
        raise self._asker.unreadable(f"YouTube answers {answer.status} {reason}".rstrip())

    def _tomorrow(self, message: str) -> QuotaSpent:
        now = self._clock.now().astimezone(_PACIFIC)
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), _PACIFIC)
        wait = (midnight.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
        return QuotaSpent(f"{message}; it goes on at midnight in California", wait + 1.0)


def _why(body: bytes) -> tuple[str, str]:
    """Give the API's reason and its domain; only words, whatever else a server says."""
    try:
        error = json.loads(body)["error"]
        first = error["errors"][0] if error.get("errors") else {}
        details = [one.get("reason") for one in error.get("details", []) if isinstance(one, dict)]
        key = next((one for one in details if isinstance(one, str) and "KEY" in one), None)
        return _word(key or first.get("reason")), _word(first.get("domain"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""


def _word(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text if len(text) <= 60 and text.replace(".", "").replace("_", "").isalnum() and text.isascii() else ""


def objects(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the resources of an answer."""
    return [item for item in body.get("items", []) if isinstance(item, dict)]


def text_at(value: Mapping[str, Any], *path: str) -> str:
    """Give the text at a path into nested objects, "" where there is none."""
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
