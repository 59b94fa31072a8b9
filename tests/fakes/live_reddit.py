"""Reddit's feed of a subreddit: its newest posts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qs, urlsplit

from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import SystemClock
from ingest.reddit import RedditSettings, RedditSource


class RedditWorld:
    faults = frozenset(Fault) - {Fault.STALE}

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.due: deque[Fault] = deque()
        # How often each word was searched for.
        self.searches: Counter[str] = Counter()
        self.agents: set[str | None] = set()
        self.address = ""

    def source(self) -> RedditSource:
        settings = RedditSettings(
            subreddits=("gadgets",), address=self.address, poll_seconds=0.05, host_seconds=0.0, allow_private=True
        )
        return RedditSource(settings, SystemClock())

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for n in numbers:
            written = f'<!-- SC_OFF --><div class="md"><p>{text.format(n=n)}</p></div><!-- SC_ON -->'
            place = f"https://www.reddit.com/r/gadgets/comments/{n}/a_title/"
            content = (
                f'{written} &#32; submitted by &#32; <a href="https://www.reddit.com/user/alice"> /u/alice </a> <br/> '
                f'<span><a href="{place}">[link]</a></span> &#32; <span><a href="{place}">[comments]</a></span>'
            )
            self.posts.append(
                "<entry><author><name>/u/alice</name><uri>https://www.reddit.com/user/alice</uri></author>"
                f'<category term="gadgets" label="r/gadgets"/><content type="html">{escape(content)}</content>'
                f'<id>t3_a{n}</id><link href="{place}"/><updated>{now}</updated><published>{now}</published>'
                f"<title>A title {n}</title></entry>"
            )

    def publish_bad(self) -> None:
        self.posts.append('<entry><content type="html">&lt;p&gt;</content><id>t3_a999</id><title></title></entry>')

    def fail(self, fault: Fault) -> None:
        self.due.append(fault)

    def answer(self, path: str, agent: str | None) -> tuple[int, Mapping[str, str], bytes]:
        self.agents.add(agent)
        asked = urlsplit(path)
        if asked.path == "/search.rss":
            self.searches[parse_qs(asked.query)["q"][0].strip('"')] += 1
        elif asked.path != "/r/gadgets/new/.rss":
            return 404, {}, b"no such place"
        most = int(parse_qs(asked.query)["limit"][0])
        posts = "".join(self.posts[: -most - 1 : -1])
        feed = f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>new</title>{posts}</feed>'
        return 200, {"Content-Type": "application/atom+xml; charset=UTF-8"}, feed.encode()


@contextmanager
def open_reddit() -> Iterator[RedditWorld]:
    """Serve it."""
    world = RedditWorld()

    class Handler(FaultyHandler):
        faults = world.due

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return world.answer(self.path, self.headers["User-Agent"])

    with serve_http(Handler) as address:
        world.address = address
        yield world
