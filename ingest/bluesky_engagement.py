"""What posts of Bluesky have earned meanwhile, from its public view of the network (AppView). No key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from domain.clock import Clock
from domain.engagement import Engagement, count_of
from ingest.jetstream_link import PAGE
from ingest.web import Asker, Fetcher

# As many as `app.bsky.feed.getPosts` takes.
MOST: Final = 25


class PostNumbers:
    """Asks the AppView. `ingest.source.EngagementLookup`; errors as of `ingest.web.Asker`."""

    most = MOST

    def __init__(self, address: str, clock: Clock, *, allow_private: bool) -> None:
        self._address, self._clock = address, clock
        self._fetcher = Fetcher(allow_private=allow_private)
        self._asker = Asker(self._fetcher, setting="source.bluesky.appview_address", page=PAGE, clock=clock)

    def engagement(self, native_ids: Sequence[str]) -> Mapping[str, Engagement]:
        uris = [name for name in native_ids if _is_uri(name)]
        posts = [post for start in range(0, len(uris), MOST) for post in self._posts(uris[start : start + MOST])]
        asked = set(uris)
        found = {post["uri"]: self._read(post) for post in posts if isinstance(post, dict) and _named(post, asked)}
        return {uri: engagement for uri, engagement in found.items() if engagement.tells}

    def _posts(self, uris: Sequence[str]) -> list[Any]:
        query = urlencode([("uris", uri) for uri in uris])
        answer = self._asker.ask(f"{self._address}/xrpc/app.bsky.feed.getPosts?{query}")
        if answer.status == 400:
            # One uri that it does not take has all of them refused.
            middle = len(uris) // 2
            return [*self._posts(uris[:middle]), *self._posts(uris[middle:])] if middle else []
        found = self._asker.read_json(answer)
        posts = found.get("posts") if isinstance(found, dict) else None
        if not isinstance(posts, list):
            raise self._asker.unreadable("the AppView of Bluesky gave no posts")
        return posts

    def close(self) -> None:
        self._fetcher.close()

    def _read(self, post: Mapping[str, Any]) -> Engagement:
        return Engagement(
            at=self._clock.now(),
            likes=count_of(post.get("likeCount")),
            # A quotation is a post of its own, and counts where it names a brand.
            reposts=count_of(post.get("repostCount")),
            replies=count_of(post.get("replyCount")),
        )


def _is_uri(name: str) -> bool:
    return name.startswith("at://did:") and name.isascii() and name.isprintable() and " " not in name


def _named(post: Mapping[str, Any], asked: set[str]) -> bool:
    uri = post.get("uri")
    return isinstance(uri, str) and uri in asked
