"""Reading the comments of one video of YouTube: newest first until what is known, each change given once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ingest.site_time import not_ahead
from ingest.source import Gap, Item
from ingest.youtube_api import Api, Refused, Spent, objects, text_at
from ingest.youtube_comments import changed_at, comments_of, item_of, key_of, published_at, replies_left_out

# The API shows some comments late.
OVERLAP_SECONDS = 120
# Of one video in one round: 2,000 threads, some 25 MB. What is older is a gap.
MAX_PAGES = 20
MAX_REPLY_PAGES = 10
# Comments whose time of change is remembered, so that each is given once: 20 MB.
MAX_KNOWN = 100_000


@dataclass(slots=True)
class Place:
    """Where to go on: since when it listens, the newest change given of each video (since 1970), what was spent."""

    since: int | None = None
    marks: dict[str, int] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)

    def write(self) -> str:
        """Give the cursor."""
        return json.dumps({"since": self.since, "marks": self.marks, "spent": asdict(self.spent)})

    @classmethod
    def read(cls, cursor: str) -> Place | None:
        """Read a cursor; None where it is none."""
        try:
            found = json.loads(cursor)
            marks = {str(video): int(mark) for video, mark in found["marks"].items()}
            spent = found["spent"]
            return cls(
                int(found["since"]), marks, Spent(str(spent["day"]), int(spent["units"]), int(spent["searches"]))
            )
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None


@dataclass(slots=True)
class _Reading:
    """What was read of one video in one round. `mark` is the newest change known; `again`: it was read before."""

    video: str
    mark: int
    again: bool
    token: str = ""
    oldest: int = 0
    said_at: int = 0
    refused: str = ""
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)


class Comments:
    """Reads comments and knows which were given. Not thread-safe."""

    def __init__(self, api: Api, place: Place) -> None:
        self._api, self._place = api, place
        # When each comment was last changed, oldest first; and how many replies a thread had.
        self._known: dict[str, int] = {}

    def read(self, video: str, *, title: str | None, again: bool) -> tuple[list[Item], str]:
        """Give what is new under a video, oldest first, and why it could not be read, "" where it could.

        `title` is carried by each; `again`: this process has read it before.

        Raises:
            RetryLater, ConfigError: as the API; nothing of it counts as given.
        """
        reading = _Reading(video, self._place.marks.get(video, self._place.since or 0), again)
        try:
            for page in range(MAX_PAGES + 1):
                if page == MAX_PAGES or not self._read_page(reading):
                    break
        except Refused as exc:
            # Of what was read before, the rest is a gap: a page that is refused may be so for ever.
            reading.refused = exc.reason
        return self._give(reading, title), reading.refused

    def _read_page(self, reading: _Reading) -> bool:
        """Read the next page; tell whether there is more of what is not known."""
        said = self._api.ask(
            "commentThreads",
            {
                "part": "snippet,replies",
                "videoId": reading.video,
                "order": "time",
                "maxResults": 100,
                "textFormat": "plainText",
                **_page(reading.token),
            },
        )
        reading.said_at = int(said.at.timestamp())
        reading.mark = not_ahead(reading.mark, reading.said_at, slack=OVERLAP_SECONDS)
        threads = objects(said.body)
        for thread in threads:
            first, *replies = comments_of(thread)
            if self._owes_replies(thread, first, replies, reading):
                replies = self._replies(first, reading.video) or replies
            reading.seen.update({key_of(comment): comment for comment in (first, *replies)})
        reading.token = text_at(said.body, "nextPageToken")
        # A pinned thread stands first, whatever its age.
        reading.oldest = next((at for thread in reversed(threads) if (at := published_at(thread))), 0)
        if not reading.token or reading.oldest <= reading.mark - OVERLAP_SECONDS:
            reading.token = ""
        return bool(reading.token)

    def _owes_replies(
        self,
        thread: Mapping[str, Any],
        first: Mapping[str, Any],
        replies: Sequence[Mapping[str, Any]],
        reading: _Reading,
    ) -> bool:
        """Tell whether a thread has replies that it did not bring along and that may be new."""
        total = first.get("totalReplyCount")
        name = f"{key_of(first)} replies"
        before = self._known.get(name)
        if not replies_left_out(thread) or not isinstance(total, int):
            return False
        reading.totals[name] = total
        if before is not None:
            return total != before
        return any(changed_at(comment) > reading.mark - OVERLAP_SECONDS for comment in (first, *replies))

    def _replies(self, first: Mapping[str, Any], video: str) -> list[dict[str, Any]]:
        """Give all replies to a comment; none where it was deleted meanwhile."""
        replies: list[dict[str, Any]] = []
        asked: dict[str, str | int] = {"part": "snippet", "parentId": text_at(first, "id"), "maxResults": 100}
        asked["textFormat"] = "plainText"
        token = ""
        for _ in range(MAX_REPLY_PAGES):
            try:
                said = self._api.ask("comments", asked | _page(token))
            except Refused:
                break
            replies += [reply | {"videoId": video} for reply in objects(said.body)]
            if not (token := text_at(said.body, "nextPageToken")):
                break
        return replies

    def _give(self, reading: _Reading, title: str | None) -> list[Item]:
        """Give what is new of what was read, oldest first; the last one moves the mark."""
        fresh = [comment for name, comment in reading.seen.items() if self._is_fresh(name, comment, reading)]
        # Within a second too, the order of the API turned round.
        fresh.reverse()
        fresh.sort(key=changed_at)
        before = self._place.write()
        if fresh:
            # What claims to be of later than now is no place to go on from.
            believed = [at for comment in fresh if (at := changed_at(comment)) <= reading.said_at]
            self._place.marks[reading.video] = max([reading.mark, *believed])
        for name, comment in reading.seen.items():
            self._remember(name, changed_at(comment))
        for name, total in reading.totals.items():
            self._remember(name, total)
        carried = {"videoTitle": title} if title else {}
        items = [item_of(comment | carried, before) for comment in fresh]
        if items:
            items[-1] = replace(items[-1], cursor=self._place.write())
        if reading.token:
            items.insert(0, _gap(reading, len(fresh), before))
        return items

    def _is_fresh(self, name: str, comment: Mapping[str, Any], reading: _Reading) -> bool:
        at = changed_at(comment)
        if name in self._known:
            return at > self._known[name]
        if at == 0:
            # It says no time: it is given once, to be parked.
            return True
        # Of a video that was read before, what is not known was held back until now, whatever its age.
        return at > ((self._place.since or 0) if reading.again else reading.mark - OVERLAP_SECONDS)

    def _remember(self, name: str, value: int) -> None:
        self._known.pop(name, None)
        self._known[name] = value
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]


def _gap(reading: _Reading, recovered: int, cursor: str) -> Item:
    why = f"has more new comments than are read at once ({MAX_PAGES * 100:,} threads)"
    if reading.refused:
        why = f"is not read further back ({reading.refused})"
    gap = Gap(
        start=datetime.fromtimestamp(reading.mark, UTC),
        end=datetime.fromtimestamp(max(reading.oldest, reading.mark), UTC),
        reason=f"video {reading.video} {why}",
        recovered=recovered,
        method="commentThreads",
    )
    return Item(position=f"youtube:{reading.video}", cursor=cursor, raw=b"", content=gap)


def _page(token: str) -> dict[str, str | int]:
    return {"pageToken": token} if token else {}
