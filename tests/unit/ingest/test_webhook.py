"""The webhook against whoever sends to it: well, badly, slowly, twice, with a wrong clock, or to break it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.live_webhook import SECRET, free_port, post, raw, signed

from domain.brand import Brand
from domain.clock import Clock, SystemClock
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from domain.records import MatchedPost, Retraction, Topic
from domain.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from ingest import webhook
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.source import AuthorRemoved, Item, RawPost, Removed
from ingest.stage import IngestStage
from ingest.webhook import MAX_POSTS, WebhookReader, WebhookSettings, WebhookSource
from stream.embedded import EmbeddedLog

ROOT = Path(__file__).resolve().parents[3]
PROCESS = Path(__file__).with_name("webhook_process.py")
PAGE = ROOT / "docs" / "sources" / "webhook.md"
ONE = b'{"id": "1", "text": "one about acme"}'
ACME = Brand(brand_id="acme", name="Acme", query="acme", query_revision=1)


class Desk:
    """A webhook whose items are read and settled by a thread, by a real stage over a real log unless it is paused."""

    def __init__(self, path: Path, clock: Clock, settings: Mapping[str, object]) -> None:
        self.clock, self.port = clock, free_port()
        chosen = {"secrets": (SECRET,), "port": self.port, "read_seconds": 5.0, "answer_seconds": 20.0, **settings}
        self.source = WebhookSource(WebhookSettings(**chosen), clock)  # type: ignore[arg-type]
        self.reader: WebhookReader = self.source.open(None)
        self.log = EmbeddedLog.open(path / "log.sqlite", clock=clock)
        self._stage = IngestStage(self.log, BrandMatcher((ACME,)), clock)
        self.items: list[Item] = []
        self._reads, self._paused = threading.Event(), threading.Event()
        self._reads.set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.reader.read(0)
        self._thread.start()

    def _run(self) -> None:
        normaliser = Normaliser("webhook", self.source.normalise)
        while not self._ended.is_set():
            if not self._reads.is_set():
                self._paused.set()
                self._reads.wait(0.05)
                continue
            items = self.reader.read(100)
            if items:
                self.items += items
                handled = self._stage.handle(items, normaliser, source="webhook", run="live")
                self.reader.settled(handled.outcomes, handled.errors, handled.retracted)

    def post(self, content: object, **headers: str) -> tuple[int, dict[str, object]]:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        at = self.clock.now().timestamp()
        status, _, answer = post(self.port, body, {**signed(body, at=at), **headers})
        return status, answer

    def send(self, head: str, body: bytes = b"", *, end: bool = False, sign: bool = True) -> tuple[int, str]:
        """Send a request by hand; gives status and error."""
        headers = signed(body, at=self.clock.now().timestamp()) if sign else {}
        lines = [head, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        answer = raw(self.port, "\r\n".join(lines).encode("latin-1") + body, end=end)
        status, _, rest = answer.partition(b"\r\n")
        return int(status.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])["error"]

    def records(self) -> list[object]:
        with closing(self.log.consumer("look", [Topic.POSTS.value])) as consumer:
            return [record.read() for record in consumer.poll(1_000, 0.0)]

    def pause(self) -> None:
        """Read nothing more."""
        self._paused.clear()
        self._reads.clear()
        assert self._paused.wait(30.0)

    def go_on(self) -> None:
        self._reads.set()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.reader.close()
        self.log.close()


Make = Callable[..., Desk]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    # Stopping waits for the read at hand.
    monkeypatch.setattr(webhook, "_WAIT_SECONDS", 0.02)
    made: list[Desk] = []

    def make_it(clock: Clock | None = None, **settings: object) -> Desk:
        made.append(Desk(tmp_path, clock or FakeClock(), settings))
        return made[-1]

    yield make_it
    for one in made:
        one.close()


@pytest.fixture
def desk(make: Make) -> Desk:
    return make()


# --- what is taken, and what is said of it


def test_each_post_has_its_outcome_in_order(desk: Desk) -> None:
    posts: list[object] = [
        {"id": "1", "text": "acme"},
        {"id": "1", "text": "acme"},
        {"id": "2", "text": "nobody"},
        {"id": "3", "text": ["acme"]},
        {"text": "acme"},
        "acme",
        {"id": 4, "text": "acme"},
    ]
    status, answer = desk.post(posts)
    assert status == 202
    assert answer["outcomes"] == {"duplicate": 1, "filtered": 1, "ok": 2, "parked": 3}
    entries = answer["posts"]
    assert isinstance(entries, list)
    assert [entry["outcome"] for entry in entries] == [
        "ok",
        "duplicate",
        "filtered",
        "parked",
        "parked",
        "parked",
        "ok",
    ]
    assert [entry.get("reason") for entry in entries[3:6]] == ["wrong_type", "missing_id", "not_an_object"]
    assert entries[6]["id"] == "4"
    assert len(desk.log.dead_letters()) == 3


def test_the_same_post_again_is_a_duplicate_and_a_later_one_an_edit(desk: Desk) -> None:
    first = {"id": "1", "text": "acme", "published_at": "2026-01-05T10:00:00Z"}
    later = {**first, "text": "acme edited", "edited_at": "2026-01-05T11:00:00Z"}
    outcomes = []
    for content in (first, first, later, first):
        desk.clock.sleep(1.0)
        outcomes.append(desk.post(content)[1]["outcomes"])
    assert outcomes == [{"ok": 1}, {"duplicate": 1}, {"ok": 1}, {"duplicate": 1}]


def test_all_fields_arrive_and_the_rest_are_attributes(desk: Desk) -> None:
    post_of = {"id": "1", "text": "acme", "author_handle": "@somebody", "source": "forum", "likes": 3, "shop": "north"}
    assert desk.post(post_of)[0] == 202
    (record,) = desk.records()
    assert isinstance(record, MatchedPost)
    found = record.post
    assert (found.source, found.author_handle, found.likes, found.attrs) == ("forum", "somebody", 3, {"shop": "north"})


def test_a_deletion_retracts_the_post_under_the_id_that_it_had(desk: Desk) -> None:
    desk.post([{"id": 17, "text": "acme"}, {"id": "x", "text": "acme", "source": "Forum"}])
    status, answer = desk.post([{"id": "17.0", "deleted": True}, {"id": " x ", "source": "forum", "deleted": True}])
    assert (status, answer["outcomes"]) == (202, {"ok": 2})
    assert [record.post_id for record in desk.records() if isinstance(record, Retraction)] == ["webhook:17", "forum:x"]
    assert desk.post({"id": "17", "text": "acme again"})[1]["outcomes"] == {"retracted": 1}
    desk.post({"author_id": "a1", "deleted": True})
    told = desk.post(
        [{"id": "18", "text": "acme", "author_id": "a1"}, {"id": "19", "text": "acme"}, {"id": "19", "text": "acme"}]
    )
    assert [post["outcome"] for post in told[1]["posts"]] == ["retracted", "ok", "duplicate"]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"author_id": "a1", "deleted": True}, AuthorRemoved),
        ({"id": "1", "author_id": "a1", "deleted": True}, Removed),
        # An id that was meant and is missing must not cost an author everything.
        ({"id": "", "author_id": "a1", "deleted": True}, BadReason.MISSING_ID),
        ({"deleted": True}, BadReason.MISSING_ID),
        ({"id": "1", "text": "acme", "deleted": "no"}, BadReason.WRONG_TYPE),
        ({"id": "1", "text": "acme", "deleted": False}, RawPost),
    ],
)
def test_what_a_deletion_is(value: object, content: object) -> None:
    clock = FakeClock()
    source = WebhookSource(WebhookSettings(secrets=(SECRET,)), clock)
    found = webhook.read_item(value, Normaliser("webhook", source.normalise), clock.now()).content
    assert found.reason == content if isinstance(found, BadRecord) else isinstance(found, content)  # type: ignore[arg-type]


def test_the_largest_request_is_answered_whole(make: Make) -> None:
    desk = make(answer_seconds=60.0)
    status, answer = desk.post([{"id": str(n), "text": "acme"} for n in range(MAX_POSTS)])
    assert (status, answer["outcomes"]) == (202, {"ok": MAX_POSTS})


# --- who is believed


@pytest.mark.parametrize("ahead", [-300, 0, 300])
def test_clocks_may_differ_by_five_minutes(desk: Desk, ahead: int) -> None:
    assert post(desk.port, ONE, signed(ONE, at=desk.clock.now().timestamp() + ahead))[0] == 202


@pytest.mark.parametrize(
    ("ahead", "told"), [(-301, "301 s behind"), (301, "301 s ahead of"), (-10_000, "10000 s behind")]
)
def test_an_expired_signature_is_refused_with_the_difference(desk: Desk, ahead: int, told: str) -> None:
    status, _, answer = post(desk.port, ONE, signed(ONE, at=desk.clock.now().timestamp() + ahead))
    assert (status, answer["error"]) == (401, "bad_signature")
    assert told in str(answer["message"])
    assert desk.items == []


def test_a_clock_that_jumps_makes_nothing_valid_that_was_not(desk: Desk) -> None:
    assert isinstance(desk.clock, FakeClock)
    headers = signed(ONE, at=desk.clock.now().timestamp())
    desk.clock.set(desk.clock.now() + timedelta(hours=1))
    assert post(desk.port, ONE, headers)[0] == 401
    desk.clock.set(desk.clock.now() - timedelta(hours=1))
    assert post(desk.port, ONE, headers)[0] == 202


def _headers(desk: Desk) -> dict[str, str]:
    return signed(ONE, at=desk.clock.now().timestamp())


@pytest.mark.parametrize(
    "change",
    [
        lambda h: {**h, SIGNATURE_HEADER: "v1=" + "0" * 64},
        lambda h: {**h, SIGNATURE_HEADER: h[SIGNATURE_HEADER][3:]},
        lambda h: {**h, SIGNATURE_HEADER: h[SIGNATURE_HEADER].replace("v1", "v0")},
        lambda h: {**h, SIGNATURE_HEADER: h[SIGNATURE_HEADER] + "\u00e9"},
        lambda h: {**h, SIGNATURE_HEADER: ""},
        lambda h: {**h, TIMESTAMP_HEADER: str(int(h[TIMESTAMP_HEADER]) + 1)},
        lambda h: {**h, TIMESTAMP_HEADER: "0" + h[TIMESTAMP_HEADER] + ".0"},
        lambda h: {**h, TIMESTAMP_HEADER: "\u0661"},
        lambda h: {**h, TIMESTAMP_HEADER: "-1"},
        lambda h: {SIGNATURE_HEADER: h[SIGNATURE_HEADER]},
        lambda h: {TIMESTAMP_HEADER: h[TIMESTAMP_HEADER]},
        lambda h: {},
    ],
)
def test_a_wrong_signature_is_refused(desk: Desk, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    headers = {name: value.encode("utf-8").decode("latin-1") for name, value in change(_headers(desk)).items()}
    status, _, answer = post(desk.port, ONE, headers)
    assert (status, answer["error"]) == (401, "bad_signature")
    assert SECRET not in str(answer)
    assert desk.items == []
    assert desk.reader.vitals().errors == 1


def test_a_signature_of_another_body_or_secret_is_refused(desk: Desk) -> None:
    at = desk.clock.now().timestamp()
    assert post(desk.port, ONE, signed(ONE + b" ", at=at))[0] == 401
    assert post(desk.port, ONE, signed(ONE, secret=SECRET + "!", at=at))[0] == 401


def test_two_secrets_are_accepted_while_senders_change(make: Make) -> None:
    new = "another secret of more than thirty-two characters"
    desk = make(secrets=(new, SECRET))
    for secret in (new, SECRET):
        assert post(desk.port, ONE, signed(ONE, secret=secret, at=desk.clock.now().timestamp()))[0] == 202


def test_an_accepted_request_is_not_taken_twice(desk: Desk) -> None:
    headers = _headers(desk)
    statuses = [post(desk.port, ONE, headers)[::2] for _ in range(2)]
    assert [status for status, _ in statuses] == [202, 409]
    assert statuses[1][1]["error"] == "replayed"
    desk.clock.sleep(1.0)
    assert desk.post(ONE)[0] == 202


def test_signatures_that_are_remembered_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MAX_REMEMBERED", 3)
    for n in range(10):
        assert desk.post({"id": str(n), "text": "acme"})[0] == 202
    assert len(desk.reader._replays._until) == 3
    desk.clock.sleep(1_000.0)
    assert desk.post({"id": "10", "text": "acme"})[0] == 202
    assert len(desk.reader._replays._until) == 1


@pytest.mark.parametrize("secrets", [(), ("",), ("short",), (SECRET, "short")])
def test_a_secret_that_is_missing_or_short_is_one_line_with_the_setting_and_the_page(secrets: Sequence[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        WebhookSource(WebhookSettings(secrets=tuple(secrets)), FakeClock())
    (problem,) = caught.value.problems
    assert problem.startswith("source.webhook.secret: ")
    assert "docs/sources/webhook.md" in problem
    assert "short" not in problem.removeprefix("source.webhook.secret: a secret is too short")


def test_no_secret_stands_in_what_is_printed() -> None:
    assert SECRET not in repr(WebhookSettings(secrets=(SECRET,)))


# --- what is refused


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b"[NaN]", 400, "not_json"),
        (b"[" + b"9" * 5_000 + b"]", 400, "not_json"),
        (b"\xff", 400, "bad_encoding"),
        (b'"acme"', 400, "no_posts"),
        (b"null", 400, "no_posts"),
        (b"[]", 400, "no_posts"),
        (b"[" * 100 + b"]" * 100, 400, "too_deep"),
        (b"[" * 500_000, 400, "too_deep"),
        (b'{"a":' * 100_000, 400, "too_deep"),
        (b'{"id": "1", "id": "2", "text": "acme"}', 400, "bad_row"),
        (b"[" + b"0," * MAX_POSTS + b"0]", 413, "too_many_posts"),
    ],
)
def test_a_body_that_holds_no_posts_is_refused_whole(desk: Desk, body: bytes, status: int, error: str) -> None:
    found, answer = desk.post(body)
    assert (found, answer["error"]) == (status, error)
    assert answer["message"]
    assert desk.items == []


@pytest.mark.parametrize(
    ("head", "status", "error"),
    [
        ("POST /api/posts HTTP/1.1\r\nContent-Length: 1048577", 413, "too_large"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: 1048577\r\nExpect: 100-continue", 413, "too_large"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: 99999999999999999999", 400, "bad_length"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: -1", 400, "bad_length"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: \u00b2", 400, "bad_length"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2", 400, "bad_length"),
        ("POST /api/posts HTTP/1.1", 411, "length_required"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 411, "length_required"),
        ("POST /api/posts HTTP/1.1\r\nContent-Length: 5\r\nContent-Encoding: gzip", 415, "encoded"),
        ("POST /elsewhere HTTP/1.1\r\nContent-Length: 0", 404, "not_found"),
        ("GET /api/posts HTTP/1.1", 405, "not_post"),
        ("DELETE /api/posts HTTP/1.1", 405, "not_post"),
        ("POST /api/posts HTTP/9.9", 505, "bad_request"),
        ("POST /api/posts", 400, "bad_request"),
        ("nonsense", 400, "bad_request"),
        ("POST /api/posts HTTP/1.1\r\n" + "X: y\r\n" * 200 + "Z: y", 431, "bad_request"),
        ("POST /api/posts HTTP/1.1\r\nX: " + "y" * 40_000, 431, "head_too_large"),
        ("POST /" + "a" * 40_000 + " HTTP/1.1", 400, "bad_request"),
    ],
)
def test_a_request_of_another_form_is_refused_in_json(desk: Desk, head: str, status: int, error: str) -> None:
    assert desk.send(head) == (status, error)
    assert desk.post(ONE)[0] == 202


def test_a_body_that_is_too_large_is_answered_though_it_is_being_sent(desk: Desk) -> None:
    body = b'{"id": "1", "text": "' + b"a" * 1_100_000 + b'"}'
    assert desk.post(body)[0] == 413


def test_a_body_that_ends_early_is_refused(desk: Desk) -> None:
    head = f"POST /api/posts HTTP/1.1\r\nContent-Length: {len(ONE) + 5}"
    assert desk.send(head, ONE, end=True) == (400, "cut_off")


def test_a_header_that_asks_to_go_on_is_answered_before_the_body(desk: Desk) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in _headers(desk).items())
    with closing(socket.create_connection(("127.0.0.1", desk.port), timeout=30)) as connection:
        head = f"POST /api/posts HTTP/1.1\r\nContent-Length: {len(ONE)}\r\nExpect: 100-continue\r\n{headers}\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(ONE)
        assert connection.recv(100).startswith(b"HTTP/1.1 202")


# --- who is slow, and too much at once


@pytest.mark.parametrize("part", ["nothing", "line", "headers", "body"])
def test_who_sends_a_byte_now_and_then_is_cut_off_and_holds_up_nobody(make: Make, part: str) -> None:
    desk = make(read_seconds=0.6)
    whole = f"POST /api/posts HTTP/1.1\r\nContent-Length: {len(ONE)}\r\n"
    if part == "body":
        whole += "".join(f"{name}: {value}\r\n" for name, value in _headers(desk).items()) + "\r\n"
    start = {"nothing": "", "line": "POST ", "headers": whole + "X: ", "body": whole}[part].encode()
    with closing(socket.create_connection(("127.0.0.1", desk.port), timeout=30)) as slow:
        slow.sendall(start)
        assert desk.post(ONE)[0] == 202
        slow.settimeout(0.05)
        answer, deadline = b"", time.monotonic() + 30.0
        while not answer and time.monotonic() < deadline:
            try:
                # Each byte comes in time; all of them together do not.
                slow.sendall(b"" if part == "nothing" else b"a" if part != "body" else b" ")
                answer = slow.recv(1_000)
            except TimeoutError:
                continue
            except OSError:
                break
    assert answer.startswith(b"HTTP/1.1 408")
    assert "too_slow" in desk.reader.vitals().note


def test_more_connections_than_allowed_are_told_to_come_again(make: Make) -> None:
    desk = make(max_connections=2, read_seconds=30.0)
    idle = [socket.create_connection(("127.0.0.1", desk.port), timeout=30) for _ in range(2)]
    answer = raw(desk.port, b"", end=False)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 5" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "busy"
    for connection in idle:
        connection.close()
    deadline = time.monotonic() + 30.0
    status = 0
    while status != 202 and time.monotonic() < deadline:
        try:
            status = desk.post(ONE)[0]
        except OSError:
            # Told so by a closed connection.
            continue
    assert status == 202


def test_more_requests_than_allowed_get_429_and_when_to_come_again(make: Make) -> None:
    desk = make(requests_per_minute=30)
    bodies = [json.dumps({"id": str(n), "text": "acme"}).encode() for n in range(5)]
    answers = [post(desk.port, body, signed(body, at=desk.clock.now().timestamp())) for body in bodies]
    assert [status for status, _, _ in answers] == [202, 202, 202, 429, 429]
    assert answers[3][1]["retry-after"] == "2"
    desk.clock.sleep(2.0)
    assert desk.post(bodies[3])[0] == 202


def test_who_does_not_know_the_secret_cannot_use_up_the_rate(make: Make) -> None:
    desk = make(requests_per_minute=10)
    for _ in range(20):
        assert post(desk.port, ONE, signed(ONE, secret="x" * 40, at=desk.clock.now().timestamp()))[0] == 401
    assert desk.post(ONE)[0] == 202


def test_what_is_not_settled_in_time_gets_503_and_may_be_sent_again_as_it_is(make: Make) -> None:
    desk = make(answer_seconds=0.2)
    desk.pause()
    headers = _headers(desk)
    status, names, answer = post(desk.port, ONE, headers)
    assert (status, answer["error"], names["retry-after"]) == (503, "not_stored", "5")
    desk.go_on()
    deadline = time.monotonic() + 30.0
    while (status := post(desk.port, ONE, headers)[0]) == 503 and time.monotonic() < deadline:
        pass
    assert status == 202
    assert len(desk.items) == 1


def test_more_posts_than_may_wait_get_503_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MAX_WAITING", 2)
    desk = make()
    status, answer = desk.post([{"id": str(n), "text": "acme"} for n in range(3)])
    assert (status, answer["error"]) == (503, "behind")
    assert desk.post(ONE)[0] == 202


def test_what_is_given_and_not_settled_is_never_answered_as_taken(make: Make) -> None:
    desk = make(answer_seconds=20.0)
    monkey = desk.reader.settled
    desk.reader.settled = lambda outcomes, errors, retracted=(): None  # type: ignore[method-assign]
    assert desk.post(ONE)[0] == 503
    desk.reader.settled = monkey  # type: ignore[method-assign]
    # It had been stored after all: the sender's second try says so.
    desk.clock.sleep(1.0)
    assert desk.post(ONE)[1]["outcomes"] == {"duplicate": 1}


def test_who_waits_when_it_stops_is_told_so(make: Make) -> None:
    desk = make()
    desk.pause()
    statuses: list[int] = []
    waiting = threading.Thread(target=lambda: statuses.append(desk.post(ONE)[0]))
    waiting.start()
    deadline = time.monotonic() + 30.0
    while not desk.reader._intake._queue and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.reader.close()
    waiting.join()
    assert statuses == [503]


def test_a_port_that_is_taken_is_waited_for(desk: Desk) -> None:
    settings = WebhookSettings(secrets=(SECRET,), port=desk.port)
    reader = WebhookSource(settings, FakeClock()).open(None)
    with pytest.raises(RetryLater, match=r"source\.webhook\.port"):
        reader.read(1)
    assert not reader.vitals().connected


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 70 + ".example"])
def test_an_address_that_is_not_ours_is_one_line_with_the_setting_and_the_page(host: str) -> None:
    reader = WebhookSource(WebhookSettings(secrets=(SECRET,), host=host, port=0), FakeClock()).open(None)
    with pytest.raises(ConfigError) as caught:
        reader.read(1)
    (problem,) = caught.value.problems
    assert problem.startswith("source.webhook.host: ")
    assert "docs/sources/webhook.md" in problem


# --- killed


def _start(path: Path, port: int, die: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(PROCESS), str(path), str(port), die], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


@pytest.mark.parametrize(("die", "second"), [("before", {"ok": 2}), ("after", {"duplicate": 2})])
def test_killed_around_the_settlement_it_loses_and_doubles_nothing(
    tmp_path: Path, die: str, second: dict[str, int]
) -> None:
    path, port = tmp_path / "log.sqlite", free_port()
    body = b'[{"id": "1", "text": "acme"}, {"id": "2", "text": "acme"}]'
    with _start(path, port, die) as process:
        with pytest.raises(OSError):
            post(port, body)
        assert process.wait() == -9
    with _start(path, port, "never") as process:
        # A second later, or it might be the very same request.
        status, _, answer = post(port, body, signed(body, at=time.time() + 1))
        process.kill()
    assert (status, answer["outcomes"]) == (202, second)
    with closing(EmbeddedLog.open(path, clock=SystemClock())) as log:
        assert log.appended(Topic.POSTS.value) == 2


def test_what_was_answered_202_survives_a_kill(tmp_path: Path) -> None:
    path, port = tmp_path / "log.sqlite", free_port()
    with _start(path, port, "never") as process:
        for n in range(20):
            assert post(port, json.dumps({"id": str(n), "text": "acme"}).encode())[0] == 202
        process.kill()
    with closing(EmbeddedLog.open(path, clock=SystemClock())) as log:
        assert log.appended(Topic.POSTS.value) == 20


# --- the page


def _examples() -> dict[str, str]:
    return dict(re.findall(r"```(bash|python)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))


@pytest.mark.parametrize("language", ["bash", "python"])
def test_the_clients_of_the_page_work(make: Make, language: str) -> None:
    desk = make(SystemClock())
    command = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [sys.executable, "-c"]
    environment = {**os.environ, "SECRET": SECRET, "URL": f"http://127.0.0.1:{desk.port}"}
    run = subprocess.run([*command, _examples()[language]], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert [item.position for item in desk.items][-1] in ("webhook:ticket-17", "webhook:ticket-18")
    assert "ok" in run.stdout


def test_every_answer_stands_on_the_page() -> None:
    source = "".join((ROOT / "ingest" / name).read_text("utf-8") for name in ("webhook.py", "webhook_server.py"))
    codes = set(re.findall(r'Refused\([^")]*?"([a-z_0-9]+)"', source)) | {"busy", "bad_request"}
    assert len(codes) > 15
    page = PAGE.read_text("utf-8")
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
