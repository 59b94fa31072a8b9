"""Nobody is told by mail who did not agree, and nobody's mailbox is filled by being asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.recipients import Recipients, bar, recipient_id
from alerts.records import Notification, Telling
from domain.errors import ConfigError
from search.sqlite_documents import SqliteDocuments

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN = "ann@acme.example"
DAY = timedelta(days=1)


@pytest.fixture
def recipients(tmp_path: Path) -> Iterator[Recipients]:
    with closing(SqliteDocuments.open(tmp_path / "alerts.db")) as documents:
        yield Recipients(documents)


def told(telling: Telling = Telling.FIRING, channel: str = "mail", recipient: str = ANN) -> Notification:
    return Notification(notification_id="a1", telling=telling, channel=channel, recipient=recipient, created_at=NOW)


def barred(recipients: Recipients, notification: Notification) -> str:
    return bar(recipients, frozenset({"mail"}), notification)


def test_an_address_is_asked_once_and_told_when_it_agreed(recipients: Recipients) -> None:
    assert "not confirmed" in barred(recipients, told())
    question = recipients.ask(ANN, "mail", NOW)
    assert question is not None
    assert (question.telling, question.recipient, question.channel) == (Telling.CONFIRM, ANN, "mail")
    assert barred(recipients, question) == ""
    assert recipients.ask(ANN, "mail", NOW + timedelta(hours=23)) is None
    assert "not confirmed" in barred(recipients, told())
    recipients.confirm(ANN, NOW)
    assert recipients.agreed(ANN)
    assert barred(recipients, told()) == ""
    assert recipients.ask(ANN, "mail", NOW + 9 * DAY) is None


def test_an_address_that_does_not_answer_is_asked_three_times(recipients: Recipients) -> None:
    asked = [recipients.ask(ANN, "mail", NOW + DAY * day) for day in range(30)]
    assert [question is not None for question in asked[:4]] == [True, True, True, False]
    assert sum(question is not None for question in asked) == 3
    assert len({question.notification_id for question in asked if question is not None}) == 3


def test_whoever_left_hears_nothing_until_he_agrees_anew(recipients: Recipients) -> None:
    recipients.confirm(ANN, NOW)
    recipients.leave(ANN, NOW)
    assert "no more" in barred(recipients, told())
    assert "no more" in barred(recipients, told(Telling.DIGEST))
    assert [recipients.ask(ANN, "mail", NOW + DAY * day) for day in range(9)] == [None] * 9
    assert recipients.ask(ANN, "mail", NOW, anew=True) is not None
    assert "not confirmed" in barred(recipients, told())
    recipients.confirm(ANN, NOW + DAY)
    assert barred(recipients, told()) == ""


def test_an_address_is_one_in_any_case_and_hidden_in_its_name(recipients: Recipients) -> None:
    recipients.confirm(ANN, NOW)
    assert recipients.agreed("Ann@ACME.example")
    found = recipients.find_id(recipient_id(ANN))
    assert found is not None
    assert found.address == ANN
    assert "ann" not in recipient_id(ANN)
    assert recipients.find_id("") is None


def test_a_chat_needs_nobody_to_agree(recipients: Recipients) -> None:
    assert barred(recipients, told(channel="chat", recipient="")) == ""


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@acme.example",
        "ann@acme",
        "Ann <ann@acme.example>",
        "a@b.example,c@d.example",
        "ann@acme.example\r\nBcc: x@y.example",
        "ann acme@x.example",
        f"{'a' * 250}@acme.example",
        "a\u202e@b.example",
    ],
)
def test_what_is_no_address_is_not_asked(address: str, recipients: Recipients) -> None:
    with pytest.raises(ConfigError, match="expected an address"):
        recipients.ask(address, "mail", NOW)
