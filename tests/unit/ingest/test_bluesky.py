"""What an event of Jetstream becomes: both versions alike, and whatever stands in a record."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.live_bluesky import SOMEBODY, Happened, iso, tid

from domain.clock import SystemClock
from domain.errors import BadRecord, ConfigError
from domain.records import Post
from ingest.bluesky import HOSTS, BlueskySettings, BlueskySource
from ingest.bluesky_post import content_of
from ingest.jetstream import NOWHERE, BadFrame, Notice, Place, StreamError, StreamEvent, read_frame, read_place
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.source import AuthorRemoved, RawPost, Removed, Restored
from service.sources.bluesky import BLUESKY

SEEN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MICROS = int(SEEN.timestamp()) * 10**6
COLLECTION = "app.bsky.feed.post"
WHOLE = {
    "$type": COLLECTION,
    "text": "Flying with @acme.com again #travel example.com/a...",
    "createdAt": "2026-11-25T11:59:58.5Z",
    "langs": ["pt-BR", "en"],
    "tags": ["Holiday"],
    "reply": {
        "root": {"uri": f"at://did:plc:r/{COLLECTION}/1", "cid": "c"},
        "parent": {"uri": f"at://did:plc:p/{COLLECTION}/2", "cid": "c"},
    },
    "facets": [
        {
            "features": [
                {"$type": "app.bsky.richtext.facet#link", "uri": "https://example.com/a/long?utm_campaign=sale"}
            ]
        },
        {"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "travel"}]},
        {"features": [{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:acme"}]},
    ],
    "embed": {
        "$type": "app.bsky.embed.recordWithMedia",
        "record": {"record": {"uri": f"at://did:plc:q/{COLLECTION}/3"}},
        "media": {"$type": "app.bsky.embed.images", "images": [{"alt": "a late plane"}, {"alt": ""}]},
    },
    "labels": {"values": [{"val": "spoiler"}]},
}


def commit(record: object, operation: str = "create", *, micros: int = MICROS, rev: str | None = None) -> Happened:
    detail = {"rev": rev or tid(micros), "operation": operation, "collection": COLLECTION, "rkey": "3kabc"}
    return Happened(7, micros, "commit", SOMEBODY, detail | ({} if operation == "delete" else {"record": record}))


def read(happened: Happened, version: int = 2) -> StreamEvent:
    event = read_frame(happened.encode(version, with_cursor=True))
    assert isinstance(event, StreamEvent)
    return event


def post_of(record: object, operation: str = "create", **more: Any) -> Post:
    content = content_of(read(commit(record, operation, **more)), None)
    assert isinstance(content, RawPost)
    return Normaliser("bluesky", NormaliserSettings()).normalise(content, SEEN + timedelta(seconds=1))


def test_both_versions_say_the_same() -> None:
    happened = commit(WHOLE)
    assert read(happened, 1) == read(happened, 2)
    assert read_frame(happened.encode(1, with_cursor=False)) == replace(read(happened), seq=0)


def test_a_post_is_read_with_all_that_it_names() -> None:
    post = post_of(WHOLE)
    assert post.native_id == f"at://{SOMEBODY}/{COLLECTION}/3kabc"
    assert post.url == f"https://bsky.app/profile/{SOMEBODY}/post/3kabc"
    assert (post.author_id, post.declared_lang, post.kind) == (SOMEBODY, "pt", "reply")
    assert post.published_at == datetime(2026, 11, 25, 11, 59, 58, 500_000, tzinfo=UTC)
    assert (post.reply_to, post.thread_id) == (f"at://did:plc:p/{COLLECTION}/2", f"at://did:plc:r/{COLLECTION}/1")
    assert post.hashtags == ("travel", "holiday")
    assert post.handles == ("acme",)
    assert "https://example.com/a/long" in post.links
    assert post.campaigns == ("sale",)
    assert post.attrs == {
        "image_alt": "a late plane",
        "quotes": f"at://did:plc:q/{COLLECTION}/3",
        "mentions": "did:plc:acme",
        "langs": "pt-BR en",
        "labels": "spoiler",
    }


def test_the_card_of_a_link_is_a_link_and_its_title_an_attribute() -> None:
    card = {"uri": "https://news.example/story", "title": "Acme grows", "description": "Again"}
    post = post_of({"text": "wow", "embed": {"$type": "app.bsky.embed.external", "external": card}})
    assert post.text == "wow"
    assert post.domains == ("news.example", "bsky.app")
    assert post.attrs == {"link_title": "Acme grows"}


@pytest.mark.parametrize(
    ("embed", "text"),
    [
        ({"$type": "app.bsky.embed.images", "images": [{"alt": "a plane"}, {"alt": "of acme"}]}, "a plane\nof acme"),
        ({"$type": "app.bsky.embed.video", "alt": "a plane lands"}, "a plane lands"),
        ({"$type": "app.bsky.embed.external", "external": {"uri": "https://a.example", "title": "Acme"}}, "Acme"),
    ],
)
@pytest.mark.parametrize("empty", ["", " \n", "\u200b\u2060", None])
def test_a_post_without_a_word_stands_with_the_words_of_what_it_shows(
    embed: object, text: str, empty: str | None
) -> None:
    assert post_of({"text": empty, "embed": embed}).text == text


@pytest.mark.parametrize("record", [{"text": ""}, {}, {"text": "\u200b", "embed": {"$type": "app.bsky.embed.images"}}])
def test_a_post_without_any_word_says_nothing(record: object) -> None:
    assert content_of(read(commit(record)), None) is None


@pytest.mark.parametrize(
    "created_at",
    [
        "2026-11-26T12:00:00Z",
        "9999-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "soon",
        "",
        None,
        5,
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_time_that_cannot_be_is_when_the_post_was_sent(created_at: object) -> None:
    post = post_of({"text": "acme", "createdAt": created_at}, rev=tid(MICROS - 5_000_000))
    assert post.published_at == SEEN - timedelta(seconds=5)


@pytest.mark.parametrize("rev", ["zzzzzzzzzzzzz", "2222222222222", "x", "notatidnotati"])
def test_a_revision_that_cannot_be_is_when_it_was_seen(rev: str) -> None:
    assert post_of({"text": "acme", "createdAt": "soon"}, rev=rev).published_at == SEEN


def test_an_edit_is_later_than_what_it_edits() -> None:
    before = post_of({"text": "acme", "createdAt": iso(MICROS)})
    after = post_of({"text": "acme!", "createdAt": iso(MICROS)}, "update", micros=MICROS + 60 * 10**6)
    assert after.published_at == before.published_at
    assert after.edited_at == SEEN + timedelta(minutes=1)
    assert after.revision_ms > before.revision_ms
    at_once = post_of({"text": "acme?", "createdAt": iso(MICROS)}, "update", rev=tid(MICROS - 10**6))
    assert at_once.revision_ms > before.revision_ms


def test_a_post_has_the_same_revision_wherever_it_is_read() -> None:
    rev = tid(MICROS)
    here = post_of({"text": "acme", "createdAt": "soon"}, rev=rev)
    there = post_of({"text": "acme", "createdAt": "soon"}, rev=rev, micros=MICROS + 700_000)
    assert here.revision_ms == there.revision_ms


def test_what_is_deleted_is_removed() -> None:
    content = content_of(read(commit(None, "delete")), None)
    assert content == Removed(native_id=f"at://{SOMEBODY}/{COLLECTION}/3kabc", removed_at=SEEN)


@pytest.mark.parametrize("status", ["deleted", "takendown", "suspended", "deactivated"])
@pytest.mark.parametrize("version", [1, 2])
def test_an_account_that_is_gone_takes_its_posts_with_it(status: str, version: int) -> None:
    gone = Happened(7, MICROS, "account", SOMEBODY, {"active": False, "did": SOMEBODY, "status": status, "time": "t"})
    content = content_of(read(gone, version), None)
    assert content == AuthorRemoved(author_id=SOMEBODY, removed_at=SEEN, reason=f"author {status}")


def test_an_account_that_is_back_is_restored_and_one_in_trouble_is_left_alone() -> None:
    back = Happened(7, MICROS, "account", SOMEBODY, {"active": True, "did": SOMEBODY, "time": "t"})
    assert content_of(read(back), None) == Restored(author_id=SOMEBODY, restored_at=SEEN)
    for status in ("throttled", "desynchronized", None, ["deleted"]):
        slow = Happened(7, MICROS, "account", SOMEBODY, {"active": False, "did": SOMEBODY, "status": status})
        assert content_of(read(slow), None) is None


NASTY: list[object] = [
    None,
    0,
    -1.5,
    True,
    "x" * 5_000,
    "\ud800",
    [],
    [[]],
    {},
    {"$type": "x"},
    [None, 5, {"features": 5}],
]


@pytest.mark.parametrize("name", [*WHOLE, "unknown"])
@pytest.mark.parametrize("value", NASTY)
def test_whatever_stands_in_a_record_is_a_post_or_parked(name: str, value: object) -> None:
    content = content_of(read(commit({**WHOLE, name: value})), None)
    if name != "text":
        # Only the text itself can be unfit to be read.
        assert isinstance(content, RawPost)
        Normaliser("bluesky", NormaliserSettings()).normalise(content, SEEN)
    elif isinstance(content, RawPost) and value is not None and not isinstance(value, str):
        with pytest.raises(BadRecord):
            Normaliser("bluesky", NormaliserSettings()).normalise(content, SEEN)


@pytest.mark.parametrize("record", [None, 5, "text", [WHOLE]])
def test_a_record_that_is_none_is_bad(record: object) -> None:
    assert isinstance(content_of(read(commit(record)), None), BadRecord)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"{}",
        b'{"kind": "commit"}',
        b"\xff\xfe{\x00}\x00",
        b'{"$type": "message"}',
        b'{"$type": "message", "payload": 5}',
        b'{"$type": "message", "payload": {"$type": "x#commit", "seq": 1, "did": "did:plc:a", "time": "soon"}}',
        b"[" * 100_000,
        b'{"did": "did:plc:a", "kind": "commit", "time_us": ' + b"9" * 5_000 + b"}",
        b'{"did": "nobody", "kind": "identity", "time_us": 1, "identity": {}}',
        b'{"did": "did:plc:a", "kind": "account", "time_us": 1, "account": {"active": "yes"}}',
        b'{"did": "did:plc:a", "kind": "commit", "time_us": true, "commit": {}}',
        b'{"did": "did:plc:a", "kind": "account", "time_us": 99999999999999999, "account": {"active": true}}',
        b'{"' + b" " * 300_000 + b'": 1}',
    ],
)
def test_a_frame_that_is_no_event_is_bad_and_its_error_holds_nothing_of_it(raw: bytes) -> None:
    with pytest.raises(BadFrame) as told:
        read_frame(raw)
    assert len(str(told.value)) < 120
    assert not re.search(r"Error|Exception|\bdict\b|\bNone\b", str(told.value))


def test_the_error_of_a_frame_names_what_is_wrong_with_it() -> None:
    for raw, said in (
        (b'{"kind": "commit"}', "found an event without `time_us`, expected what every event has"),
        (b'{"did": "no", "kind": "identity", "time_us": 1, "identity": {}}', "an event whose `did` cannot be read"),
        (b"[" * 100_000, "found a frame of 100,000 bytes that is nested too deep"),
        (b"{", "found a frame of 1 bytes that is no JSON"),
    ):
        with pytest.raises(BadFrame, match=re.escape(said)):
            read_frame(raw)


def test_a_place_is_told_as_a_time_and_a_server() -> None:
    assert Place(1_700_000_000_123_456, 3, 2, 17, "a.example").told == "2023-11-14 22:13:20 UTC at a.example"
    assert Place(1_700_000_000_123_456, 0, 2, 0, NOWHERE).told == "2023-11-14 22:13:20 UTC"


def test_an_error_ends_the_stream_with_its_name_alone() -> None:
    with pytest.raises(StreamError, match=r"^ConsumerTooSlow$"):
        read_frame(json.dumps({"$type": "error", "error": "Consumer\nToo Slow", "message": "..."}).encode())


def test_a_notice_has_a_name() -> None:
    payload = {"$type": "network.bsky.jetstream.subscribeEvents#info", "name": "OutdatedCursor"}
    assert read_frame(json.dumps({"$type": "message", "payload": payload}).encode()) == Notice("OutdatedCursor")


def test_other_collections_and_keys_that_cannot_be_are_passed_over() -> None:
    happened = commit(WHOLE)
    for change in ({"collection": "app.bsky.feed.like"}, {"rkey": "a b"}, {"rev": ""}, {"operation": "resync"}):
        other = Happened(7, MICROS, "commit", SOMEBODY, {**happened.detail, **change})
        assert read(other).kind == "other"
        assert content_of(read(other), None) is None


def test_a_cursor_says_where_and_when() -> None:
    place = Place(MICROS, 3, 2, 12_345, "jetstream.us-east.bsky.network")
    assert read_place(str(place)) == place
    source = BlueskySource(BlueskySettings(), SystemClock())
    assert source.can_resume(str(place))


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "5",
        "x 1 2 3 host",
        f"{MICROS} 1 3 5 host",
        f"{MICROS} 1 2 5 ho st",
        f"{MICROS} 1 2 5 ",
        "9" * 16 + " 1 2 5 h",
    ],
)
def test_what_is_no_cursor_of_ours_is_not_resumed(cursor: str) -> None:
    assert not BlueskySource(BlueskySettings(), SystemClock()).can_resume(cursor)


def test_every_host_that_is_none_is_told() -> None:
    hosts = ("http://a.example", "a b", "ws://user:secret@host", "wss://a.example/path", "a.example:99999", "")
    with pytest.raises(ConfigError) as told:
        BlueskySource(BlueskySettings(hosts=hosts), SystemClock())
    assert len(told.value.problems) == len(hosts)
    assert all(problem.startswith("source.bluesky.hosts: ") for problem in told.value.problems)
    with pytest.raises(ConfigError, match=r"found none.*docs/sources/bluesky\.md"):
        BlueskySource(BlueskySettings(hosts=()), SystemClock())


def test_the_configuration_has_the_hosts_of_the_source() -> None:
    (hosts,) = [setting.default for setting in BLUESKY.settings if setting.key == "source.bluesky.hosts"]
    assert hosts == HOSTS


def test_a_dead_letter_is_read_again_in_either_version() -> None:
    source = BlueskySource(BlueskySettings(), SystemClock())
    for version in (1, 2):
        item = source.reread(commit(WHOLE).encode(version, with_cursor=False), "here")
        assert isinstance(item.content, RawPost)
        assert item.position == "here"
    for payload in (b"", b"{}", commit({"text": ""}).encode(2, with_cursor=False)):
        with pytest.raises(ConfigError, match="from here"):
            source.reread(payload, "here")
