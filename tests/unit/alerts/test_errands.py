"""Following signed links: looking changes nothing, the button does what the link says and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.alert_texts import alert

from alerts.book import AlertBook
from alerts.errands import SOMEBODY, Errand, Errands
from alerts.links import PAGE, BadLink, Links, Purpose
from alerts.recipients import Recipients, recipient_id
from alerts.stored import ALERT, alert_body
from domain.documents import Change
from domain.errors import ConfigError
from search.sqlite_documents import SqliteDocuments

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN = "ann@acme.example"
LINKS = Links("https://s.example", b"k" * 32)


class World:
    """Alerts, recipients and the links to them."""

    def __init__(self, documents: SqliteDocuments) -> None:
        self.documents = documents
        self.book, self.recipients = AlertBook(documents), Recipients(documents)
        self.errands = Errands(LINKS, self.book, self.recipients)
        self.recipients.ask(ANN, "mail", NOW)
        documents.apply([Change(ALERT, "00001-ab", alert_body(alert()))])

    def token(self, purpose: Purpose, subject: str, who: str = "") -> str:
        return LINKS.signed(purpose, subject, NOW, who).partition(PAGE)[2]

    def kept(self) -> list[object]:
        """Everything that is kept, to see that nothing changed."""
        return [dict(each.body) for kind in (ALERT, "recipient") for each in self.documents.scan(kind)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(SqliteDocuments.open(tmp_path / "alerts.db")) as documents:
        yield World(documents)


def test_looking_at_a_link_changes_nothing(world: World) -> None:
    before = world.kept()
    name = recipient_id(ANN)
    for token in (
        world.token("confirm", name),
        world.token("unsubscribe", name),
        world.token("acknowledge", "00001-ab", name),
        world.token("mark", "00001-ab", name),
    ):
        assert not world.errands.look(token, NOW).done
    assert world.kept() == before


def test_the_button_confirms_and_leaves(world: World) -> None:
    name = recipient_id(ANN)
    done = world.errands.run(world.token("confirm", name), "", NOW)
    assert done == Errand("confirm", ANN, None, True)
    assert world.recipients.agreed(ANN)
    assert world.errands.run(world.token("unsubscribe", name), "", NOW).done
    assert not world.recipients.agreed(ANN)
    assert not world.errands.look(world.token("confirm", name), NOW).done


def test_the_button_says_that_an_alert_was_seen_and_by_whom(world: World) -> None:
    token = world.token("acknowledge", "00001-ab", recipient_id(ANN))
    assert world.errands.run(token, "", NOW).done
    seen = world.book.alert("00001-ab")
    assert (seen.acknowledged_by, seen.acknowledged_at) == (ANN, NOW)
    world.errands.run(world.token("acknowledge", "00001-ab"), "", NOW + timedelta(hours=1))
    assert world.book.alert("00001-ab") == seen


def test_a_mark_is_given_by_its_word(world: World) -> None:
    token = world.token("mark", "00001-ab")
    errand = world.errands.run(token, "noise", NOW)
    assert errand.alert is not None
    assert (errand.who, errand.alert.mark, errand.done) == (SOMEBODY, "noise", True)
    with pytest.raises(ConfigError, match="mark"):
        world.errands.run(token, "spam", NOW)


def test_a_link_of_something_that_is_gone_says_so(world: World) -> None:
    for token in (world.token("mark", "nothing"), world.token("unsubscribe", recipient_id("bob@acme.example"))):
        with pytest.raises(BadLink, match=r"no longer kept|nothing is known"):
            world.errands.run(token, "", NOW)
