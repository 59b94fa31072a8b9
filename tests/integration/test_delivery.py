"""Delivery to real servers that are down, slow, busy, or cut us off: at least once, under one key, or given up."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from fakes import delivery_process
from fakes.clock import START, FakeClock
from fakes.hook_server import Hooks, serve_hooks
from fakes.mail_server import Fault, MailServer, serve_mail
from servers.certificates import HOST, Certificates

from alerts.apprise_channel import AppriseChannel, AppriseSettings
from alerts.channel import CHART_CID, Channel, Line, Message, Refused
from alerts.delivery import Delivery, Patience, Route
from alerts.mail_channel import MailChannel, MailSettings
from alerts.outbox import Entry, Outbox, State
from alerts.records import Notification, Telling
from alerts.webhook_channel import WebhookChannel, WebhookSettings
from domain.documents import Change
from domain.errors import ConfigError, RetryLater
from domain.signature import check_signature, check_timestamp
from search.sqlite_documents import SqliteDocuments

SECRET = delivery_process.SECRET
PATIENCE = Patience()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serve_mail() as made:
        yield made


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with serve_hooks() as made:
        yield made


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[SqliteDocuments]:
    made = SqliteDocuments.open(tmp_path / "alerts.db")
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def notification(name: str = "a1", channel: str = "hook", at: datetime = START) -> Notification:
    recipient = "ann@acme.example" if channel == "mail" else ""
    return Notification(notification_id=name, telling=Telling.TEST, channel=channel, recipient=recipient, created_at=at)


def message(**changed: object) -> Message:
    fields: dict[str, object] = {
        "subject": "Acme: 84 negative mentions",
        "text": "Acme: 84 — “späte” 東京 😀\n",
        "html": f'<p>Acme</p><img src="cid:{CHART_CID}" alt="chart">',
        "lines": (Line("Acme: 84"), Line("The alert:", "https://s.example/alerts/1")),
        "payload": {"id": "a1", "text": "“späte” 東京 😀"},
        "recipient": "ann@acme.example",
        "chart": PNG,
        "unsubscribe": "https://s.example/told/x",
    }
    return Message(**fields | changed)  # type: ignore[arg-type]


def compose(told: Notification, now: datetime) -> Message:
    return message(payload={"id": told.notification_id}, recipient=told.recipient)


def mail_channel(server: MailServer, timeout_seconds: float = 5.0) -> MailChannel:
    return MailChannel(
        MailSettings(
            host="127.0.0.1",
            port=server.port,
            security="none",
            sender="Soundings <alerts@acme.example>",
            timeout_seconds=timeout_seconds,
        )
    )


def hook_channel(hooks: Hooks, timeout_seconds: float = 5.0, clock: FakeClock | None = None) -> WebhookChannel:
    settings = WebhookSettings(
        url=f"{hooks.address}/in", secret=SECRET, allow_private=True, timeout_seconds=timeout_seconds
    )
    channel = WebhookChannel(settings, clock)
    hooks.opened.callback(channel.close)
    return channel


def delivery(
    documents: SqliteDocuments, clock: FakeClock, patience: Patience = PATIENCE, **channels: Channel
) -> Delivery:
    routes = {name: Route(channel, patience) for name, channel in channels.items()}
    return Delivery(Outbox(documents), routes, compose, clock=clock)


def only(documents: SqliteDocuments) -> Entry:
    (entry,) = Outbox(documents).entries()
    return entry


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- mail


def test_a_mail_carries_text_html_chart_and_the_way_out(mail_server: MailServer) -> None:
    mail_channel(mail_server).send(message(), "k1")
    (mail,) = mail_server.mails
    assert mail["To"] == "ann@acme.example"
    assert mail["From"] == "Soundings <alerts@acme.example>"
    assert mail["Message-ID"] == "<k1@acme.example>"
    assert (mail["Idempotency-Key"], mail["Auto-Submitted"]) == ("k1", "auto-generated")
    assert mail["List-Unsubscribe"] == "<https://s.example/told/x>"
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert isinstance(plain, EmailMessage)
    assert isinstance(page, EmailMessage)
    assert plain.get_content().strip() == "Acme: 84 — “späte” 東京 😀"
    assert f"cid:{CHART_CID}" in page.get_content()
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert (picture["Content-ID"], picture.get_content_disposition()) == (f"<{CHART_CID}>", "inline")
    assert picture.get_payload(decode=True) == PNG


def test_no_subject_can_add_a_header_and_no_recipient_a_second_one(mail_server: MailServer) -> None:
    mail_channel(mail_server).send(message(subject="Acme\r\nBcc: eve@evil.example\r\n\r\nhello"), "k1")
    (mail,) = mail_server.mails
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Acme Bcc: eve@evil.example hello"
    hostiles = (
        "ann@acme.example\r\nBcc: eve@evil.example",
        "a@b.example, eve@evil.example",
        "Eve <e@evil.example>",
    )
    for hostile in hostiles:
        with pytest.raises(Refused):
            mail_channel(mail_server).send(message(recipient=hostile), "k2")
    assert mail_server.recipients == ["ann@acme.example"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("busy", RetryLater),
        ("no such mailbox", Refused),
        ("no such sender", RetryLater),
        ("spam", Refused),
        ("cut", RetryLater),
        ("taken, then reset", RetryLater),
        ("hang", RetryLater),
    ],
)
def test_what_a_mail_server_says_decides_whether_it_is_asked_again(
    fault: Fault, error: type[Exception], mail_server: MailServer
) -> None:
    mail_server.faults.append(fault)
    with pytest.raises(error, match=r"127\.0\.0\.1"):
        mail_channel(mail_server, timeout_seconds=0.5).send(message(), "k1")


def test_a_mail_server_that_is_down_loses_nothing(documents: SqliteDocuments, clock: FakeClock) -> None:
    """It comes up later, under the same address."""
    server = MailServer()
    server.port = free_port()
    Outbox(documents).put([notification(channel="mail")])
    sender = delivery(documents, clock, mail=mail_channel(server))
    for _ in range(4):
        assert sender.send_due("mail") == 0
        clock.advance(3600)
    assert (only(documents).state, only(documents).tries) == (State.WAITING, 4)
    with serve_mail() as up:
        server.port = up.port
        again = delivery(documents, clock, mail=mail_channel(up))
        assert again.send_due("mail") == 1
        assert again.send_due("mail") == 0
        assert [mail["Message-ID"] for mail in up.mails] == ["<a1@acme.example>"]
    assert only(documents).state is State.SENT


def test_a_mail_whose_taking_was_not_heard_of_comes_again_under_the_same_id(
    mail_server: MailServer, documents: SqliteDocuments, clock: FakeClock
) -> None:
    mail_server.faults.append("taken, then reset")
    Outbox(documents).put([notification(channel="mail")])
    sender = delivery(documents, clock, mail=mail_channel(mail_server))
    assert sender.send_due("mail") == 0
    clock.advance(60)
    assert sender.send_due("mail") == 1
    assert [mail["Message-ID"] for mail in mail_server.mails] == ["<a1@acme.example>"] * 2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("mail") / "certificates")


@pytest.mark.parametrize("beginning", ["", "Käse, "])
@pytest.mark.parametrize("length", [60, 68, 70, 72, 77, 78, 90, 180])
def test_a_subject_of_any_length_comes_as_it_was_written(mail_server: MailServer, beginning: str, length: int) -> None:
    subject = (beginning + "Histo: 80 negative mentions in an hour " + "and what else there is " * 8)[:length].strip()
    mail_channel(mail_server).send(message(subject=subject), "k1")
    assert str(mail_server.mails[0]["Subject"]) == subject


def secured(server: MailServer, **changed: str) -> MailChannel:
    fields = {"host": HOST, "sender": "alerts@acme.example", "user": "soundings", "password": "right"} | changed
    return MailChannel(MailSettings(port=server.port, **fields))  # type: ignore[arg-type]


def test_a_mail_goes_by_tls_to_a_server_whose_certificate_is_known(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with serve_mail(certificates.server_keystore, "right") as server:
        secured(server).send(message(), "k1")
        assert server.recipients == ["ann@acme.example"]


def test_a_mail_server_that_nobody_knows_gets_neither_password_nor_mail(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.stranger))
    with serve_mail(certificates.server_keystore, "right") as server:
        with pytest.raises(RetryLater, match="certificate verify failed"):
            secured(server).send(message(), "k1")
        assert server.mails == []


def test_a_server_without_tls_gets_neither_password_nor_mail(mail_server: MailServer) -> None:
    with pytest.raises(RetryLater, match="STARTTLS"):
        secured(mail_server).send(message(), "k1")
    assert mail_server.mails == []


def test_a_wrong_password_is_waited_for_and_not_told(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with serve_mail(certificates.server_keystore, "right") as server:
        with pytest.raises(RetryLater, match="refuses user or password") as told:
            secured(server, password="canary").send(message(), "k1")
        assert "canary" not in str(told.value)
        assert server.mails == []


@pytest.mark.parametrize(
    "wrong", [{"sender": "nobody"}, {"sender": "A\r\nBcc: x@y.example <a@b.example>"}, {"security": "none"}]
)
def test_settings_that_would_send_a_password_in_the_clear_or_come_from_nobody_are_refused(
    wrong: dict[str, str], mail_server: MailServer
) -> None:
    with pytest.raises(ConfigError, match="expected"):
        secured(mail_server, **wrong)


# --- webhook


def test_a_webhook_is_signed_anew_for_each_try_and_keeps_its_key(
    hooks: Hooks, documents: SqliteDocuments, clock: FakeClock
) -> None:
    hooks.answers += [(500, {}), "cut"]
    Outbox(documents).put([notification()])
    sender = delivery(documents, clock, hook=hook_channel(hooks, clock=clock))
    for _ in range(3):
        sender.send_due("hook")
        clock.advance(120)
    assert hooks.keys == ["a1"] * 3
    times = []
    for _, headers, body in hooks.came:
        signature = headers["soundings-signature"]
        moment = datetime.fromtimestamp(int(headers["soundings-timestamp"]), START.tzinfo)
        times.append(check_timestamp(headers["soundings-timestamp"], signature, moment))
        check_signature([SECRET], times[-1], signature, body)
        assert json.loads(body) == {"id": "a1"}
    assert times == [times[0], times[0] + 120, times[0] + 240]
    assert only(documents).state is State.SENT


@pytest.mark.parametrize(("status", "wait"), [(500, 0.0), (502, 0.0), (408, 0.0), (429, 77.0), (503, 120.0)])
def test_a_webhook_that_may_come_right_is_tried_again_when_it_asks_for_it(
    status: int, wait: float, hooks: Hooks
) -> None:
    hooks.answers.append((status, {"Retry-After": str(int(wait))} if wait else {}))
    with pytest.raises(RetryLater) as told:
        hook_channel(hooks).send(message(), "k1")
    assert told.value.after_seconds == wait


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 422])
def test_a_webhook_that_never_takes_it_is_asked_once_and_sent_nowhere_else(status: int, hooks: Hooks) -> None:
    hooks.answers.append((status, {"Location": f"{hooks.address}/elsewhere"}))
    with pytest.raises(Refused, match=str(status)):
        hook_channel(hooks).send(message(), "k1")
    assert [path for path, _, _ in hooks.came] == ["/in"]


def test_a_webhook_that_does_not_answer_is_given_up_in_time_and_asked_again(hooks: Hooks) -> None:
    hooks.answers.append("hang")
    with pytest.raises(RetryLater, match="cannot be reached"):
        hook_channel(hooks, timeout_seconds=0.3).send(message(), "k1")
    hook_channel(hooks).send(message(), "k1")
    assert hooks.keys == ["k1", "k1"]


def test_a_webhook_into_a_private_network_is_refused_unless_allowed(hooks: Hooks) -> None:
    channel = WebhookChannel(WebhookSettings(url=hooks.address, secret=SECRET))
    with pytest.raises(Refused, match="allow_private"):
        channel.send(message(), "k1")
    assert hooks.came == []


# --- chats


def test_a_chat_gets_title_and_lines_and_calls_nobody(hooks: Hooks) -> None:
    port = hooks.address.rpartition(":")[2]
    channel = AppriseChannel(AppriseSettings(url=f"ntfy://127.0.0.1:{port}/brand"))
    channel.send(message(lines=(Line("“@everyone <!channel> *now*”"),), chart=None), "k1")
    ((_, _, body),) = hooks.came
    told = json.loads(body)
    assert told["title"] == "Acme: 84 negative mentions"
    assert told["message"] == "“@\u2060everyone <!channel> *now*”"


def test_a_chat_that_takes_pictures_gets_the_chart(hooks: Hooks) -> None:
    port = hooks.address.rpartition(":")[2]
    AppriseChannel(AppriseSettings(url=f"ntfy://127.0.0.1:{port}/brand")).send(message(), "k1")
    ((path, _, body),) = hooks.came
    assert body == PNG
    assert "message=Acme%3A+84" in path


def test_a_chat_that_renders_markdown_gets_none_of_what_people_wrote(hooks: Hooks) -> None:
    port = hooks.address.rpartition(":")[2]
    channel = AppriseChannel(AppriseSettings(url=f"mmost://127.0.0.1:{port}/{'a' * 26}"))
    lines = (Line("“[click](https://evil.example) @all **x**”"), Line("The alert:", "https://s.example/alerts/1_2"))
    channel.send(message(lines=lines, chart=None), "k1")
    ((_, _, body),) = hooks.came
    told = json.loads(body)["text"]
    assert r"\[click\]\(https\://evil\.example\) @⁠all \*\*x\*\*" in told
    # Our own address stays whole.
    assert told.endswith("https://s.example/alerts/1_2")
    assert "github" not in body.decode()


def test_a_chat_that_says_no_is_asked_again(hooks: Hooks) -> None:
    hooks.answers += [(500, {})] * 5
    port = hooks.address.rpartition(":")[2]
    channel = AppriseChannel(AppriseSettings(url=f"gotify://127.0.0.1:{port}/{'a' * 15}"))
    with pytest.raises(RetryLater, match="gotify"):
        channel.send(message(chart=None), "k1")


# --- the outbox and its threads


def test_what_nobody_takes_is_given_up_after_its_time_and_is_a_trouble_to_tell_it_of(
    hooks: Hooks, documents: SqliteDocuments, clock: FakeClock
) -> None:
    hooks.answers += [(500, {})] * 200
    outbox = Outbox(documents)
    outbox.put([notification()])
    sender = delivery(documents, clock, hook=hook_channel(hooks))
    sender.send_due("hook")
    (trouble,) = outbox.troubles(clock.now())
    assert (trouble.channel, trouble.waiting, trouble.lost) == ("hook", 1, 0)
    for _ in range(60):
        clock.advance(1800)
        sender.send_due("hook")
    entry = only(documents)
    assert entry.state is State.GIVEN_UP
    assert entry.done_at is not None
    assert timedelta(hours=23) < entry.done_at - START <= timedelta(hours=24)
    assert set(hooks.keys) == {"a1"}
    (trouble,) = outbox.troubles(entry.done_at)
    assert (trouble.waiting, trouble.lost, trouble.why) == (0, 1, "127.0.0.1 answers 500")


def test_a_refused_message_is_not_tried_again_and_holds_up_no_other(
    hooks: Hooks, documents: SqliteDocuments, clock: FakeClock
) -> None:
    hooks.answers += [(400, {})]
    Outbox(documents).put([notification("a1"), notification("a2")])
    sender = delivery(documents, clock, hook=hook_channel(hooks))
    assert sender.send_due("hook") == 1
    clock.advance(86_400)
    assert sender.send_due("hook") == 0
    assert hooks.keys == ["a1", "a2"]
    assert {entry.notification.notification_id: entry.state for entry in Outbox(documents).entries()} == {
        "a1": State.REFUSED,
        "a2": State.SENT,
    }


def test_a_slow_channel_does_not_hold_up_another(hooks: Hooks, documents: SqliteDocuments) -> None:
    """The slow one hangs until the fast one is through."""
    with serve_hooks() as slow:
        slow.answers.append("hang")
        outbox = Outbox(documents)
        now = START
        outbox.put([notification("s1", "slow", now), *(notification(f"f{n}", "fast", now) for n in range(5))])
        routes = {
            "slow": Route(hook_channel(slow, timeout_seconds=60.0)),
            "fast": Route(hook_channel(hooks)),
        }
        sender = Delivery(outbox, routes, compose)
        sender.start()
        try:
            done = threading.Event()
            while sum(entry.state is State.SENT for entry in outbox.entries()) < 5:
                done.wait(0.02)
            assert [entry.notification.channel for entry in outbox.entries() if entry.state is State.WAITING] == [
                "slow"
            ]
        finally:
            slow.released.set()
            sender.close()


def test_a_running_sender_finds_what_was_planned_and_cut_off_and_forgets_what_is_old(
    hooks: Hooks, documents: SqliteDocuments
) -> None:
    outbox = Outbox(documents)
    old = outbox.change(notification("old", at=START - timedelta(days=99)))
    body = {**(old.body or {}), "state": "sent", "done_ms": old.body["created_ms"] if old.body else 0}
    documents.apply([Change(old.kind, old.doc_id, body), outbox.change(notification("new"))])
    sender = Delivery(outbox, {"hook": Route(hook_channel(hooks))}, compose)
    sender.start()
    try:
        done = threading.Event()
        while [(entry.notification.notification_id, entry.state) for entry in outbox.entries()] != [
            ("new", State.SENT)
        ]:
            done.wait(0.02)
    finally:
        sender.close()
    assert hooks.keys == ["new"]


def test_a_channel_gets_no_more_messages_a_minute_than_it_may(
    hooks: Hooks, documents: SqliteDocuments, clock: FakeClock
) -> None:
    Outbox(documents).put([notification(f"a{n}") for n in range(7)])
    sender = delivery(documents, clock, Patience(per_minute=3), hook=hook_channel(hooks))
    assert [sender.send_due("hook"), sender.send_due("hook")] == [3, 0]
    clock.advance(61)
    assert sender.send_due("hook") == 3
    clock.advance(61)
    assert sender.send_due("hook") == 1
    assert sorted(hooks.keys) == sorted(f"a{n}" for n in range(7))


def test_two_senders_of_one_outbox_send_each_message_once(
    hooks: Hooks, documents: SqliteDocuments, tmp_path: Path
) -> None:
    names = [f"a{n:03d}" for n in range(40)]
    Outbox(documents).put([notification(name) for name in names])
    others = SqliteDocuments.open(tmp_path / "alerts.db")
    patience = Patience(per_minute=1000)
    senders = [
        Delivery(Outbox(each), {"hook": Route(hook_channel(hooks), patience)}, compose) for each in (documents, others)
    ]
    threads = [threading.Thread(target=sender.send_due, args=("hook",)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    others.close()
    assert sorted(hooks.keys) == names


def test_a_sender_killed_between_sending_and_noting_it_sends_again_under_the_same_key(
    hooks: Hooks, documents: SqliteDocuments, tmp_path: Path
) -> None:
    Outbox(documents).put([notification("a1"), notification("a2")])
    command = [sys.executable, delivery_process.__file__, str(tmp_path / "alerts.db"), hooks.address]
    with subprocess.Popen([*command, "die"], stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"sent\n"
        victim.send_signal(signal.SIGKILL)
    assert hooks.keys == ["a1"]
    again = subprocess.run([*command, "go"], stdout=subprocess.PIPE, check=True)
    assert again.stdout == b"2\n"
    assert hooks.keys == ["a1", "a1", "a2"]
    assert {entry.state for entry in Outbox(documents).entries()} == {State.SENT}
    assert subprocess.run([*command, "go"], stdout=subprocess.PIPE, check=True).stdout == b"0\n"
