"""Mastodon: which posts are taken and as what, several instances as one, removals, edits, gaps, hostile streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock
from fakes.live_mastodon import MastodonWorld, open_instances, status
from fakes.live_webhook import free_port
from fakes.live_worlds import Fault

from domain.clock import to_ms
from domain.errors import BadRecord, ConfigError, RetryLater
from ingest.event_stream import MAX_EVENT_BYTES, ServerEvent, read_events
from ingest.mastodon import MastodonSource
from ingest.mastodon_memory import MAX_KEPT, Memory, Position, read_cursor
from ingest.mastodon_reader import MastodonReader
from ingest.mastodon_status import read_status
from ingest.mastodon_stream import id_at, newer, rewound
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.source import Gap, Item, RawPost, Removed
from service.settings import read
from service.sources.kind import SourceContext
from service.sources.mastodon import MASTODON

PATIENCE_SECONDS = 30.0


@pytest.fixture
def world() -> Iterator[MastodonWorld]:
    with open_instances(1) as opened:
        yield opened


@pytest.fixture
def two() -> Iterator[MastodonWorld]:
    with open_instances(2) as opened:
        yield opened


def read_until(reader: MastodonReader, done: Callable[[list[Item]], bool]) -> list[Item]:
    """Read until what came is enough; what stands in the way is waited out."""
    items: list[Item] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done(items):
        assert time.monotonic() < deadline, [item.content for item in items]
        try:
            items += reader.read(100)
        except RetryLater as exc:
            time.sleep(min(exc.after_seconds, 0.2))
    return items


def trouble(reader: MastodonReader) -> str:
    """Read until something stands in the way, and give what."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            reader.read(1)
        except RetryLater as exc:
            return str(exc)
    raise AssertionError("nothing stood in the way")


def listen(reader: MastodonReader, world: MastodonWorld) -> list[Item]:
    return read_until(reader, lambda _: all(server.listeners for server in world.servers) and _heard(reader))


def _heard(reader: MastodonReader) -> bool:
    vitals = reader.vitals()
    return vitals.connected and not vitals.note


def posts(items: Sequence[Item]) -> list[RawPost]:
    return [item.content for item in items if isinstance(item.content, RawPost)]


def ids(items: Sequence[Item]) -> list[str]:
    return [str(post.fields["id"])[-3:] for post in posts(items)]


def gaps(items: Sequence[Item]) -> list[Gap]:
    return [item.content for item in items if isinstance(item.content, Gap)]


def removals(items: Sequence[Item]) -> list[Removed]:
    return [item.content for item in items if isinstance(item.content, Removed)]


# What a status becomes


def test_a_status_becomes_a_post_with_all_that_it_says() -> None:
    made = status(
        7,
        "hello <b>acme</b>",
        spoiler_text="a word of warning",
        tags=[{"name": "summer"}],
        favourites_count=3,
        in_reply_to_id="42",
        edited_at="2026-11-01T10:00:00.000Z",
        created_at="2026-11-01T09:00:00.000Z",
    )
    seen_at = datetime(2026, 11, 1, 11, tzinfo=UTC)
    raw = read_status(made, "home.example", seen_at=seen_at, uri_by_id={"42": "https://x.example/42"}.get)
    assert isinstance(raw, RawPost)
    post = Normaliser("mastodon", NormaliserSettings(html="always")).normalise(raw, seen_at)
    assert post.native_id == "https://home.example/users/somebody/statuses/007"
    assert post.text == "hello acme"
    assert post.title == "a word of warning"
    assert post.kind == "reply"
    assert post.reply_to == "https://x.example/42"
    assert post.hashtags == ("summer",)
    assert post.author_handle == "somebody@home.example"
    assert post.author_id == "https://home.example/@somebody"
    assert post.likes == 3
    assert post.engagement_at == seen_at
    assert post.edited_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert post.attrs["bot"] == "false"
    assert post.attrs["instance"] == "home.example"


def test_one_without_an_address_is_bad() -> None:
    assert isinstance(read_status({"content": "x"}, "home.example", seen_at=None, uri_by_id=lambda _: None), BadRecord)


@pytest.mark.parametrize(
    "changed",
    [
        {"reblog": {"id": "1"}},
        {"visibility": "private"},
        {"visibility": "direct"},
        {"visibility": "unlisted"},
        {"account": {"acct": "shy", "noindex": True}},
    ],
)
def test_what_is_no_public_post_of_its_own_is_not_taken(changed: dict[str, Any], world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme", **changed), status(2, "acme"))
        assert ids(read_until(reader, lambda items: "002" in ids(items))) == ["002"]


def test_noindex_can_be_left_out_of_account(world: MastodonWorld) -> None:
    with closing(world.source(respect_noindex=False).open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme", account={"acct": "shy", "noindex": True}))
        assert ids(read_until(reader, bool)) == ["001"]


# Edits and removals


def test_an_edit_is_a_higher_revision_of_the_same_post(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        made = status(1, "acme")
        world.server.publish(made)
        world.server.edit(made | {"content": "better acme", "edited_at": "2030-01-01T00:00:00Z"})
        first, second = posts(read_until(reader, lambda items: len(posts(items)) == 2))
        assert first.fields["id"] == second.fields["id"]
        assert "edited_at" not in first.fields
        assert second.fields["edited_at"] == "2030-01-01T00:00:00Z"


def test_a_removal_finds_its_post_by_the_local_id(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        made = status(1, "nobody")
        world.server.publish(made)
        world.server.delete(made)
        (removed,) = removals(read_until(reader, lambda items: bool(removals(items))))
        assert removed.native_id == made["uri"]


def test_after_a_restart_a_removal_still_finds_a_post_that_somebody_listens_for(world: MastodonWorld) -> None:
    made = status(1, "acme")
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(made)
        cursor = read_until(reader, bool)[-1].cursor
    with closing(world.source().open(cursor)) as reader:
        listen(reader, world)
        world.server.delete(made)
        (removed,) = removals(read_until(reader, lambda items: bool(removals(items))))
        assert removed.native_id == made["uri"]


def test_the_removal_of_a_post_that_nobody_knows_is_no_item(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.delete(status(1, "acme"))
        world.server.publish(status(2, "acme"))
        items = read_until(reader, bool)
        assert ids(items) == ["002"]
        assert removals(items) == []


# Several instances


def test_a_post_that_several_instances_give_is_given_once(two: MastodonWorld) -> None:
    with closing(two.source().open(None)) as reader:
        listen(reader, two)
        two.publish(range(100, 120))
        two.servers[0].publish(status(200, "acme"))
        two.servers[1].publish(status(201, "acme"))
        items = read_until(reader, lambda items: {"200", "201"} <= set(ids(items)))
        assert sorted(ids(items)) == [*(str(n) for n in range(100, 120)), "200", "201"]


def test_a_removal_is_given_once_whichever_instances_tell_it(two: MastodonWorld) -> None:
    with closing(two.source().open(None)) as reader:
        listen(reader, two)
        copies = [status(1, "acme"), status(1, "acme")]
        for server, copy in zip(two.servers, copies, strict=True):
            server.publish(copy)
        read_until(reader, lambda items: bool(posts(items)))
        for server, copy in zip(two.servers, copies, strict=True):
            server.delete(copy)
        # What comes behind the removals shows that both were read.
        two.servers[0].publish(status(2, "acme"))
        two.servers[1].publish(status(3, "acme"))
        items = read_until(reader, lambda items: {"002", "003"} <= set(ids(items)))
        assert len(removals(items)) == 1


def test_one_instance_that_refuses_us_does_not_stop_the_other(two: MastodonWorld) -> None:
    tokens = {two.servers[0].address: "wrong", two.servers[1].address: "a token"}
    with closing(two.source(tokens=tokens).open(None)) as reader:
        read_until(reader, lambda _: reader.vitals().connected and bool(reader.vitals().note))
        two.servers[1].publish(status(1, "acme"))
        assert ids(read_until(reader, bool)) == ["001"]
        note = reader.vitals().note
        assert two.servers[0].host in note
        assert "source.mastodon.token" in note
        assert "wrong" not in note


def test_when_all_refuse_us_the_setting_is_named_and_each_read_tries_again(world: MastodonWorld) -> None:
    with closing(world.source(tokens={world.server.address: "wrong"}).open(None)) as reader:
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"source\.mastodon\.token: .*docs/sources/mastodon\.md"):
                read_until(reader, bool)
            # It is the reason already.
            assert reader.vitals().note == ""


def test_an_instance_that_cannot_be_reached_is_tried_again(world: MastodonWorld) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with closing(world.source(tokens={f"http://{nobody}": "t"}).open(None)) as reader:
        for _ in range(2):
            assert f"{nobody} cannot be reached" in trouble(reader)


# Gaps


def test_a_gap_tells_when_why_and_how_much_was_fetched(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme"))
        read_until(reader, bool)
        world.server.statuses += [status(2, "acme"), status(3, "nobody")]
        world.server.fail(Fault.BROKEN)
        items = read_until(reader, lambda items: bool(gaps(items)))
        assert ids(items) == ["002", "003"]
        (gap,) = gaps(items)
        assert gap.recovered == 2
        assert "timeline" in gap.method
        assert gap.start <= gap.end
        assert world.server.host in gap.reason
        assert items[-1].content is gap
        assert items[-1].cursor == items[-2].cursor


def test_while_it_did_not_run_is_a_gap_too(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme"))
        cursor = read_until(reader, bool)[-1].cursor
    world.server.publish(*[status(n, "acme") for n in range(100, 200)])
    with closing(world.source().open(cursor)) as reader:
        items = read_until(reader, lambda items: bool(gaps(items)))
        # More than two pages; and some minutes before the newest once more, for what arrived late.
        assert ids(items) == ["001", *(str(n) for n in range(100, 200))]
        (gap,) = gaps(items)
        assert gap.reason == f"{world.server.host}: it was not running"
        assert gap.recovered == 100


def test_what_is_too_much_to_fetch_is_told(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme"))
        cursor = read_until(reader, bool)[-1].cursor
    world.server.publish(*[status(n, "acme") for n in range(100, 200)])
    with closing(world.source(catch_up_pages=1).open(cursor)) as reader:
        (gap,) = gaps(read_until(reader, lambda items: bool(gaps(items))))
        # One of the 40 was given before.
        assert gap.recovered == 39
        assert "the first 40 posts only" in gap.method


def kept(reader: MastodonReader, world: MastodonWorld, since: datetime) -> str:
    """Read until there is a place of a sign of life after `since`, though nothing comes; gives it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert list(reader.read(100)) == []
        if (cursor := reader.place()) is not None:
            memory = read_cursor(cursor)
            assert memory is not None
            if memory.positions[world.server.host].heard_ms > to_ms(since):
                return cursor
    raise AssertionError("no place")


def test_a_gap_begins_at_the_last_sign_of_life_and_not_at_the_last_post(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme"))
        (item,) = read_until(reader, bool)
        post_at = datetime.now(UTC)
        cursor = kept(reader, world, post_at)
        assert cursor != item.cursor
    world.server.publish(status(2, "acme"))
    with closing(world.source().open(cursor)) as reader:
        (gap,) = gaps(read_until(reader, lambda items: bool(gaps(items))))
        assert gap.start > post_at
        assert gap.recovered == 1


def test_a_stream_on_which_nothing_ever_came_has_a_place_too(world: MastodonWorld) -> None:
    before = datetime.now(UTC)
    with closing(world.source().open(None)) as reader:
        cursor = kept(reader, world, before)
    # Of clearly later than the last sign of life.
    world.server.publish(status(1, "acme", id=id_at(datetime.now(UTC) + timedelta(seconds=1))))
    with closing(world.source().open(cursor)) as reader:
        items = read_until(reader, lambda items: bool(gaps(items)))
        assert ids(items) == ["001"]
        assert gaps(items)[0].recovered == 1


def test_killed_while_it_fetches_it_still_tells_the_whole_gap(world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme"))
        (item,) = read_until(reader, bool)
    stopped = datetime.now(UTC)
    world.server.publish(*[status(n, "acme") for n in range(100, 120)])
    with closing(world.source().open(item.cursor)) as reader:
        cursor = read_until(reader, lambda items: "110" in ids(items))[0].cursor
    with closing(world.source().open(cursor)) as reader:
        (gap,) = gaps(read_until(reader, lambda items: bool(gaps(items))))
        assert gap.start <= stopped


def test_the_reason_of_a_gap_is_what_happened(world: MastodonWorld) -> None:
    source = world.source()
    with closing(source.open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(1, "acme"))
        cursor = read_until(reader, bool)[-1].cursor
    with closing(source.open(cursor)) as reader:
        (gap,) = gaps(read_until(reader, lambda items: bool(gaps(items))))
        assert gap.reason == f"{world.server.host}: it had failed and was opened anew"
        # The server begins anew, and answers with an error before it gives the stream again.
        world.server.due.append(Fault.BROKEN)
        world.server.fail(Fault.BROKEN)
        (gap,) = gaps(read_until(reader, lambda items: bool(gaps(items))))
        assert gap.reason.startswith(f"{world.server.host}: was cut off")
        assert gap.reason.endswith(f"; then {world.server.host} answers 503")
        assert "not running" not in gap.reason


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=30)])
def test_an_id_of_the_future_hides_nothing(ahead: timedelta, world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        name = str(int(id_at(datetime.now(UTC) + ahead)) + 1)
        world.server.publish(status(1, "acme", id=name))
        cursor = read_until(reader, bool)[-1].cursor
        world.server.statuses.append(status(2, "acme"))
        world.server.fail(Fault.BROKEN)
        assert "002" in ids(read_until(reader, lambda items: bool(gaps(items))))
    world.server.publish(status(3, "acme"))
    with closing(world.source().open(cursor)) as reader:
        assert "003" in ids(read_until(reader, lambda items: bool(gaps(items))))


def test_a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_began(world: MastodonWorld) -> None:
    memory = Memory()
    ahead = datetime.now(UTC) + timedelta(days=1)
    memory.positions[world.server.host] = Position("", int(ahead.timestamp() * 1000))
    with closing(world.source().open(memory.cursor())) as reader:
        (gap,) = gaps(read_until(reader, lambda items: bool(gaps(items))))
        assert gap.start == gap.end


def test_a_post_that_arrives_late_with_an_older_id_is_fetched(world: MastodonWorld) -> None:
    late = status(1, "acme")
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.publish(status(2, "acme", id=str(int(late["id"]) + (60_000 << 16))))
        cursor = read_until(reader, bool)[-1].cursor
    world.server.publish(late)
    with closing(world.source().open(cursor)) as reader:
        assert "001" in ids(read_until(reader, lambda items: bool(gaps(items))))


# Streams that are not what they should be


@pytest.mark.parametrize(
    "sent",
    [
        b"event: update\ndata: [1, 2]\n\n",
        b"event: update\ndata: " + b"[" * 100_000 + b"\n\n",
        b"event: update\ndata: \xff\xfe\n\n",
        b"event: unheard-of\ndata: {}\n\n",
        b"no field at all\n\n",
        b"event: delete\ndata: {}\n\n",
        b"event: update\n\n",
        b'event: update\ndata: {"account": 7, "tags": 8, "id": 9, "uri": [1]}\n\n',
    ],
)
def test_a_hostile_event_stops_nothing(sent: bytes, world: MastodonWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.server.tell(sent)
        world.server.publish(status(1, "acme"))
        assert ids(read_until(reader, lambda items: bool(posts(items)))) == ["001"]


def test_events_are_read_wherever_the_stream_is_cut() -> None:
    whole = b":thump\nevent: update\r\ndata: one\ndata: two\n\nevent: delete\ndata:3\n\nevent: update\ndata: cut o"
    for size in (1, 2, 7, len(whole)):
        chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert list(read_events(chunks)) == [
            ServerEvent(""),
            ServerEvent("update", b"one\ntwo"),
            ServerEvent("delete", b"3"),
        ]


@pytest.mark.parametrize("chunk", [b"x" * 65_536, b"data: x\n" * 8_192])
def test_an_event_without_an_end_is_given_up(chunk: bytes) -> None:
    with pytest.raises(RetryLater):
        list(read_events([chunk] * (2 + MAX_EVENT_BYTES * 8 // len(chunk))))


def test_a_server_whose_stream_is_elsewhere_is_not_followed_into_a_private_network(world: MastodonWorld) -> None:
    with (
        closing(world.source(allow_private=False).open(None)) as reader,
        pytest.raises(ConfigError, match="allow_private"),
    ):
        read_until(reader, bool)


# What is remembered


def test_the_cursor_keeps_positions_and_the_newest_ids_of_ours() -> None:
    memory = Memory()
    memory.positions["a.example"] = Position("17", 5)
    for n in range(MAX_KEPT + 10):
        memory.learn("a.example", str(n), f"https://home.example/users/somebody/statuses/{n}", keep=True)
    memory.learn("a.example", "passing", "https://x.example/1", keep=False)
    assert len(memory.cursor()) < 20_000
    again = read_cursor(memory.cursor())
    assert again is not None
    assert again.positions == {"a.example": Position("17", 5)}
    assert again.uri("a.example", "0") is None
    assert again.uri("a.example", "passing") is None
    assert again.uri("a.example", str(MAX_KEPT + 9)) == f"https://home.example/users/somebody/statuses/{MAX_KEPT + 9}"


@pytest.mark.parametrize("cursor", ["", "17", "null", '{"v": 2}', '{"v": 1, "at": {"a": 1}, "ids": ""}', "[" * 9_999])
def test_what_is_no_cursor_begins_now(cursor: str) -> None:
    assert read_cursor(cursor) is None


def test_ids_grow_as_numbers() -> None:
    assert newer("9", "10") == "10"
    assert newer("Ab", "Ac") == "Ac"
    assert rewound("17") == "17"
    assert int("115000000000000000") - int(rewound("115000000000000000")) == 300_000 << 16


# The past


def test_the_past_is_what_the_timelines_show_of_that_time(two: MastodonWorld) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    two.publish(range(100, 190))
    end = datetime.now(UTC) + timedelta(seconds=1)
    two.servers[0].publish(status(999, "acme", created_at=(end + timedelta(days=1)).isoformat()))
    history = two.source().history(start, end)
    items: list[Item] = []
    with closing(history.open(None)) as reader:
        while (given := reader.read(7)) is not None:
            items += given
    assert sorted(ids(items)) == sorted([str(n) for n in range(100, 190)] * 2)
    with closing(history.open(items[49].cursor)) as reader:
        assert [item.position for item in reader.read(7) or ()] == [item.position for item in items[50:57]]


# Its settings


def build(text: str, tmp_path: Path, token: str = "") -> MastodonSource:
    path = tmp_path / "soundings.toml"
    path.write_text(f'{text}\n[[brands]]\nid = "acme"\nquery = "acme"\n', encoding="utf-8")
    settings, problems = read(path, environ={"SOUNDINGS_SOURCE_MASTODON_TOKEN": token})
    assert problems == []
    context = SourceContext(
        values=settings.sources.values["mastodon"],
        normalise=NormaliserSettings(),
        brands=settings.brands,
        clock=FakeClock(),
    )
    source = MASTODON.build(context)
    assert isinstance(source, MastodonSource)
    return source


def test_one_token_is_for_one_instance(tmp_path: Path) -> None:
    source = build('[source.mastodon]\ninstances = ["Mastodon.social"]', tmp_path, "secret-token")
    assert source.normalise.html == "always"
    assert "secret-token" not in repr(vars(source))


def test_several_tokens_name_their_instances(tmp_path: Path) -> None:
    build('[source.mastodon]\ninstances = ["a.example", "b.example"]', tmp_path, "a.example=one b.example=two")


@pytest.mark.parametrize("token", ["https://A.example=one", "https://a.example/=one", "http://a.example=one"])
def test_a_token_may_name_its_instance_by_its_address(token: str, tmp_path: Path) -> None:
    source = build('[source.mastodon]\ninstances = ["a.example"]', tmp_path, token)
    assert source._settings.tokens == {"https://a.example": "one"}


def test_tokens_of_no_instance_are_one_line_that_says_what_was_found_and_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build('[source.mastodon]\ninstances = ["a.example"]', tmp_path, "b.example=canary canary c.example=canary")
    (line, missing) = caught.value.problems
    assert "found 3 parts that are a token for none of source.mastodon.instances (a.example)" in line
    assert "expected `instance=token`" in line
    assert missing.startswith("source.mastodon.token: is missing for a.example")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "token", "problem"),
    [
        ("", "", "source.mastodon.instances: is empty"),
        ('[source.mastodon]\ninstances = ["a.example"]', "", "source.mastodon.token: is missing for a.example"),
        (
            '[source.mastodon]\ninstances = ["a.example"]',
            "c.example=secret",
            "source.mastodon.token: found a token for",
        ),
        ('[source.mastodon]\ninstances = ["a.example", "b.example"]', "secret", "source.mastodon.token: found a token"),
        ('[source.mastodon]\ninstances = ["a.example/x?y"]', "secret", "source.mastodon.instances: found"),
        (
            '[source.mastodon]\ninstances = ["a.example"]\nhashtags = ["two words"]',
            "secret",
            "source.mastodon.hashtags: found",
        ),
        (
            '[source.mastodon]\ninstances = ["a.example"]\nhashtags = ["one"]\ntimeline = "remote"',
            "secret",
            "source.mastodon.timeline: hashtags come from everywhere",
        ),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_line_that_names_them(
    text: str, token: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(text, tmp_path, token)
    assert any(line.startswith(problem) for line in caught.value.problems)
    assert "secret" not in str(caught.value)


def test_whether_a_post_is_ours_is_asked_of_the_brands(tmp_path: Path) -> None:
    source = build('[source.mastodon]\ninstances = ["a.example"]', tmp_path, "token")
    assert source.is_ours(RawPost(fields={"id": "1", "text": "<p>Acme</p>"}))
    assert not source.is_ours(RawPost(fields={"id": "1", "text": "<p>nobody</p>"}))
    assert not source.is_ours(RawPost(fields={"id": "1"}))
