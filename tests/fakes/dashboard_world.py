"""A small world to look at: a real store and log in a folder, with made-up mentions of three brands, some hostile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from fakes.clock import FakeClock
from fakes.mentions import mention
from fastapi import FastAPI

from dashboard.app import build_app
from dashboard.books import StageInfo
from domain.brand import Brand
from domain.records import DeadLetter, Mention, Outcome, Sentiment, Span
from search.embedded import EmbeddedStore
from stream.embedded import EmbeddedLog
from stream.protocol import Count, OutRecord, Settlement

NOW = datetime(2026, 10, 9, 12, 0, tzinfo=UTC)

BRANDS = (
    Brand(brand_id="cuppelo", name="Cuppelo", query="cuppelo", handles=("cuppelo",)),
    Brand(brand_id="brewmont", name="Brewmont", query="brewmont", competitors=("cuppelo",)),
    Brand(brand_id="ember-oak", name="Ember & Oak", query='"ember & oak"'),
)
_NAMES = {brand.brand_id: brand.name for brand in BRANDS}

# What strangers write to see whether a page of ours breaks. None of it may run, lead away or leave its place.
HOSTILE: tuple[str, ...] = (
    "<script>alert('cuppelo')</script> hostile",
    '<img src=x onerror="alert(1)"> hostile <svg/onload=alert(2)>',
    '"><iframe src="javascript:alert(3)"></iframe><style>*{display:none}</style> hostile',
    "{{ 7 * 7 }} {% raw %} ${alert(4)} hostile </mark></p></li></ol> & &amp; &lt;",
    "\u202ehostile right to left\u202d and \u2067never closed",
    "h" + "\u0301\u0336\u0489" * 67 + " hostile marks",
    "hostile " + "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 40 + "\ufdfd" * 8,
    "hostile" + "W" * 900,
    "hostile\n\n\n\n" + "line\n" * 60,
    "hostile \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u6771\u4eac cuppelo",
)
HOSTILE_LINKS: tuple[str | None, ...] = (
    "javascript:alert(5)",
    "JaVaScRiPt:alert(6)",
    "data:text/html,<script>alert(7)</script>",
    'https://x.example/"onmouseover="alert(8)',
    "//evil.example/",
    "https:///nohost",
    "http://[broken",
    "https://ok.example/\u202ecod.exe",
    None,
    "https://ok.example/post/1?a=1&b=2",
)

_PLAIN: tuple[tuple[str, Sentiment, str, str], ...] = (
    ("cuppelo", "positive", "The Cuppelo travel mug keeps my coffee hot through two trains and a bus.", "ann.reads"),
    ("cuppelo", "negative", "New Cuppelo lid leaks. Coffee all over my bag, again.", "busstop_ben"),
    ("cuppelo", "neutral", "Is the Cuppelo mug dishwasher safe? Asking before I ruin it.", "lunchbox_lou"),
    (
        "cuppelo",
        "negative",
        "Day four: the lid of my Cuppelo is leaking in the train. Refund please.",
        "trainline_tess",
    ),
    ("brewmont", "negative", "Brewmont delivery was late again and the box was crushed.", "grumblebee"),
    ("brewmont", "positive", "Brewmont grinder update: quiet, even grounds, cleans up in a minute.", "grindstone_gus"),
    ("brewmont", "neutral", "Has anyone tried the new Brewmont grinder?", "tomkettle"),
    ("ember-oak", "positive", "Ember & Oak sent a handwritten note with my order. Made my day.", "pia.bakes"),
    ("ember-oak", "neutral", "Does Ember & Oak ship to Norway?", "mira.runs"),
)


def plain_mentions(number: int = 90) -> list[Mention]:
    """Give mentions as people write them, one every 20 minutes back from an hour ago."""
    return [_plain(index) for index in range(number)]


def _plain(index: int) -> Mention:
    # Brands take turns unevenly: Ember & Oak stays below what can be compared.
    brand, label, text, author = _PLAIN[index % (9 if index < 27 else 7)]
    start = text.find(_NAMES[brand])
    value = {"negative": -1, "neutral": 0, "positive": 1}[label]
    foreign = index % 11 == 10
    made = mention(
        f"p{index}",
        brand,
        text=f"{text} (no. {index})",
        source=("x", "bluesky", "rss")[index % 3],
        author_handle=author,
        url=f"https://{('x', 'bluesky', 'rss')[index % 3]}.example/{index}",
        title="Test: travel mugs and grinders compared" if index % 3 == 2 else None,
        published_at=NOW - timedelta(hours=1, minutes=20 * index),
        collected_at=NOW - timedelta(minutes=30),
        spans=(Span(start, start + len(_NAMES[brand])),),
        lang="sv" if foreign else "en",
        sentiment=label,
        sentiment_value=value,
        sentiment_score=0.8 * value,
        sentiment_expected=1.1 * value,
        sentiment_reliable=not foreign,
    )
    return replace(made, brand=_NAMES[brand])


def hostile_mentions() -> list[Mention]:
    """Give the hostile texts, the newest of all, with hostile names and links."""
    return [
        mention(
            f"h{index}",
            "cuppelo",
            text=text,
            title=text if index % 2 else None,
            url=HOSTILE_LINKS[index],
            author_handle='"><b onclick=alert(9)>\u202e' + "x" * 80,
            source="<b>x</b>",
            published_at=NOW - timedelta(minutes=index + 1),
            spans=(Span(0, 10_000), Span(5, 6)),
            sentiment="negative",
            sentiment_value=-1,
            sentiment_reliable=True,
        )
        for index, text in enumerate(HOSTILE)
    ]


def settlement_of_a_run(read: int = 120) -> Settlement:
    """Give the books and dead letters of a replay of `read` rows, and the records that they left in the log."""
    parked = (("bad_date", 2), ("not_json", 1))
    letters = [
        DeadLetter(
            stage="ingest",
            reason=reason,
            detail="secret detail",
            position=f"posts.jsonl row {number}",
            payload=b"secret payload",
            payload_bytes=14,
            payload_sha256="0" * 64,
            parked_at=NOW,
            run="posts",
        )
        for reason, number in parked
        for number in range(number)
    ]
    done = read - 10
    return Settlement(
        outputs=[OutRecord("posts", f"p{number}", b"post", "posts") for number in range(done)],
        dead=letters,
        counts=[
            Count("ingest", "posts", Outcome.OK, done),
            Count("ingest", "posts", Outcome.DUPLICATE, 4),
            Count("ingest", "posts", Outcome.FILTERED, 3),
            *(Count("ingest", "posts", Outcome.PARKED, number, reason) for reason, number in parked),
        ],
    )


def settlement_of_tagging(first: int, last: int) -> Settlement:
    """Give what the stage `enrich` leaves after the records `[first, last)` of the topic `posts`."""
    return Settlement(
        group="enrich",
        counts=[Count("enrich", "posts", Outcome.OK, last - first), Count("enrich", "posts", Outcome.RETRIED, 1)],
        offsets={("posts", 0): last},
    )


@dataclass(frozen=True, slots=True)
class World:
    """A store and a log that can be written to, and the dashboard that looks at them."""

    store: EmbeddedStore
    log: EmbeddedLog
    app: FastAPI


def ask(app: FastAPI, path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask the application as a client on this machine; an error that nobody answered is raised here."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", trust_env=False) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asked())


@contextmanager
def open_world(folder: Path, *, filled: bool = True) -> Iterator[World]:
    """Open a world in an empty folder; `filled` with all mentions above, and a run that is done."""
    store, log = EmbeddedStore.open(folder / "store"), EmbeddedLog.open(folder / "log.sqlite3")
    try:
        if filled:
            store.write([*plain_mentions(), *hostile_mentions()])
            store.refresh()
            log.settle(settlement_of_a_run())
            log.settle(settlement_of_tagging(0, 110))
        stages = (
            StageInfo("ingest", "reads, cleans, matches brands"),
            StageInfo("enrich", "language and sentiment", "enrich", ("posts",), lambda: log.appended("posts")),
        )
        yield World(store, log, build_app(store, log, BRANDS, stages=stages, clock=FakeClock(NOW)))
    finally:
        store.close()
        log.close()
