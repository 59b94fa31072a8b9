"""A brand with two quiet weeks and a crisis, in a real store, and an evaluator that looks at it minute by minute."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from fakes.clock import FakeClock
from fakes.mentions import START, mention

from alerts.book import AlertBook
from alerts.evaluator import Evaluator, Minute
from alerts.outbox import Outbox
from alerts.records import Alert, Notification
from alerts.rule import DEFAULT_RULES, Rule, Watch, watches
from alerts.subscription import Subscription
from alerts.teller import Teller
from domain.documents import Documents
from domain.query.parser import parse
from domain.records import SENTIMENTS, Mention, Sentiment
from search.embedded import EmbeddedStore
from search.sqlite_documents import SqliteDocuments
from search.store import Store
from service.alert_mentions import StoreMentions

QUIET_DAYS = 14
CRISIS = START + timedelta(days=QUIET_DAYS, hours=12)
MINUTE = timedelta(minutes=1)
BRANDS = {"acme": "Acme", "globex": "Globex"}
ANN = Subscription(subscription_id="ann", channel="hook")


def said(native_id: str, at: datetime, feeling: Sentiment, brand: str = "acme", **changed: object) -> Mention:
    """Give a mention with a feeling, by an author and of a story of its own unless others are named."""
    value = SENTIMENTS.index(feeling) - 1
    fields: dict[str, object] = {
        "published_at": at,
        "sentiment": feeling,
        "sentiment_value": value,
        "sentiment_score": value * 0.8,
        "sentiment_reliable": True,
        "author_id": f"author-{native_id}",
        "author_handle": f"author{native_id}",
        "story_id": f"story-{native_id}",
        "words": ("lid", "leaks") if feeling == "negative" else ("fine",),
    }
    return mention(native_id, brand, **fields | changed)


def usual(start: datetime, days: float, brand: str = "acme", seed: int = 3) -> Iterator[Mention]:
    """Give what is usually said: some eight mentions an hour, two of them negative, less at night."""
    draw = random.Random(f"{brand}{seed}")
    hours = round(days * 24)
    for hour in range(hours):
        at = start + timedelta(hours=hour)
        many = 8 if 7 <= at.hour < 22 else 3
        for place in range(draw.randint(many // 2, many + many // 2)):
            feeling = draw.choices(SENTIMENTS, (2, 4, 2))[0]
            moment = at + timedelta(seconds=draw.randrange(3600))
            yield said(f"{brand}{seed}-{hour}-{place}", moment, feeling, brand)


def crisis(at: datetime = CRISIS, number: int = 60, brand: str = "acme", **changed: object) -> list[Mention]:
    """Give many negative mentions within half an hour."""
    step = timedelta(minutes=30) / number
    return [said(f"{brand}-crisis{place}", at + step * place, "negative", brand, **changed) for place in range(number)]


class AlertWorld:
    """The store, the documents and one evaluator; `fresh` makes another over the same, as after a restart."""

    def __init__(
        self,
        folder: Path,
        rules: Sequence[Rule] = DEFAULT_RULES,
        *,
        store: Store | None = None,
        documents: Documents | None = None,
    ) -> None:
        self.folder = folder
        self.store = store or EmbeddedStore.open(folder / "store")
        self.documents = documents or SqliteDocuments.open(folder / "alerts.db")
        self.clock = FakeClock(CRISIS)
        nodes = {rule.query: parse(rule.query) for rule in rules if rule.query}
        self.watches: list[Watch] = watches(tuple(rules), BRANDS, nodes)
        self.subscriptions: list[Subscription] = [ANN]
        self.evaluator = self.fresh()

    def fresh(self, documents: Documents | None = None) -> Evaluator:
        """Give an evaluator that knows nothing yet."""
        return Evaluator(StoreMentions(self.store), documents or self.documents, self.clock)

    def write(self, mentions: Sequence[Mention]) -> None:
        """Store mentions, so that they are found."""
        for begin in range(0, len(mentions), 500):
            self.store.write(mentions[begin : begin + 500])
        self.store.refresh()

    def history(self) -> None:
        """Store two quiet weeks of both brands, and the quiet half day before the crisis."""
        for brand in BRANDS:
            self.write(list(usual(START, QUIET_DAYS + 0.5, brand)))

    def look(self, at: datetime, evaluator: Evaluator | None = None) -> Minute:
        """Look at everything at a moment."""
        self.clock.set(at)
        return (evaluator or self.evaluator).evaluate(self.watches, at)

    def tell(self, documents: Documents | None = None) -> list[Notification]:
        """Plan what is to be told now; gives what came into the outbox."""
        kept = documents or self.documents
        book, now = AlertBook(kept), self.clock.now()
        teller = Teller(kept, Outbox(kept).change)
        return teller.tell(now, self.subscriptions, book.silences(now), book.current(now))

    def minutes(self, start: datetime, end: datetime) -> list[tuple[Minute, list[Notification]]]:
        """Look and tell every minute of `[start, end)`."""
        found = []
        at = start
        while at < end:
            found.append((self.look(at), self.tell()))
            at += MINUTE
        return found

    def alerts(self) -> list[Alert]:
        """Give every alert, the newest first."""
        return AlertBook(self.documents).newest(100)

    def close(self) -> None:
        """Release the files."""
        self.store.close()
        self.documents.close()
