"""Crashes, faults, stops and other workers: what the store over Elasticsearch holds is what one calm worker leaves."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.elastic_stores import open_elastic, set_up, settings_for, wipe
from fakes.faulty_proxy import Fault, FaultyProxy, faulty
from fakes.mentions import START, mention, retraction, withdrawal
from fakes.told import NEAR, OTHER, TEXT, busy_day, told
from servers.elastic import ElasticServer

from domain.aggregation import Buckets, Terms
from domain.errors import BadRecord, ConfigError, RetryLater
from domain.query.ast import Everything, Keyword
from domain.records import AuthorRetraction, Mention, Retraction, Withdrawal
from search.elastic import ElasticStore
from search.elastic_settings import ElasticSettings
from search.embedded import EmbeddedStore
from search.store import SearchRequest, Store, Written
from search.transfer import StoryPost

Record = Mention | Withdrawal | Retraction


@pytest.fixture
def settings(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticSettings]:
    """A prefix that is set up; a writer that hears nothing gives up soon."""
    settings = replace(settings_for(elastic_server.url, prefix), retry_seconds=0.3)
    set_up(settings)
    yield settings
    wipe(settings)


@pytest.fixture
def proxy(elastic_server: ElasticServer) -> Iterator[FaultyProxy]:
    with faulty(elastic_server.url) as proxy:
        yield proxy


def held(store: Store, records: Sequence[Record]) -> dict[str, Mention]:
    """Give all that a store has of some records, each mention with its story; search and truth agree on it."""
    ids = {one.mention_id for one in records if isinstance(one, Mention)}
    found = {mention_id: one for mention_id in ids if (one := store.get(mention_id)) is not None}
    store.refresh()
    page = store.search(SearchRequest(limit=500))
    assert page.next_cursor is None
    assert {one.mention_id: one for one in page.mentions} == found
    assert store.count() == len(found)
    return found


def told_stories(store: Store, found: dict[str, Mention]) -> dict[str, tuple[str, int, int]]:
    """Give the stories of these mentions: original, posts, mentions; the index counts the same."""
    stories = {}
    for story_id in {one.story_id for one in found.values() if one.story_id}:
        story = store.story(story_id)
        assert story is not None
        stories[story_id] = (story.original.mention_id, story.posts, story.mentions)
    counts = store.aggregate(Everything(), {"by": Terms("story_id", 1_000)})["by"]
    assert isinstance(counts, Buckets)
    assert {str(bucket.key): bucket.count for bucket in counts.buckets} == {
        story_id: mentions for story_id, (_, _, mentions) in stories.items()
    }
    return stories


def expected_of(folder: Path, records: Sequence[Record]) -> tuple[dict[str, Mention], dict[str, tuple[str, int, int]]]:
    """Give what the embedded store makes of the records."""
    once = EmbeddedStore.open(folder)
    try:
        once.write(records)
        found = held(once, records)
        return found, told_stories(once, found)
    finally:
        once.close()


def write_dying(
    settings: ElasticSettings, proxy: FaultyProxy, records: Sequence[Record], draw: random.Random, faults: list[Fault]
) -> None:
    """Write in batches, each cut off at one request after the other, by a new process each time, until it is done."""
    through = replace(settings, hosts=(proxy.url,), retry_seconds=0.01)
    done, crashes = 0, 0
    while done < len(records):
        batch = records[done : done + draw.randint(20, 50)]
        passed, written = draw.randrange(3), False
        while not written:
            proxy.mend()
            store = ElasticStore.open(through)
            proxy.after(passed, draw.choice(faults))
            try:
                store.write(batch)
                written = True
            except RetryLater:
                crashes += 1
                passed += draw.randint(1, 2)
            finally:
                store.close()
        done += len(batch)
    proxy.mend()
    assert crashes > len(records) / 10


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.UNANSWERED, Fault.HALVED])
def test_a_writer_that_dies_at_any_request_leaves_what_the_embedded_store_holds(
    settings: ElasticSettings, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    seed = list(Fault).index(fault)
    records = busy_day(seed, like_a_log=True)[:150]
    write_dying(settings, proxy, records, random.Random(seed), [fault])
    calm = ElasticStore.open(settings)
    found = held(calm, records)
    assert (found, told_stories(calm, found)) == expected_of(tmp_path, records)
    calm.close()


def test_withdrawals_that_a_dying_writer_repeats_change_nothing(
    settings: ElasticSettings, proxy: FaultyProxy, elastic_server: ElasticServer
) -> None:
    records = busy_day(7)[:150]
    assert any(isinstance(one, Withdrawal) for one in records)
    write_dying(settings, proxy, records, random.Random(7), [Fault.LOST, Fault.UNANSWERED, Fault.HALVED])
    dying = ElasticStore.open(settings)
    other = replace(settings, prefix=f"{settings.prefix}calm-")
    calm = open_elastic(elastic_server.url, other.prefix)
    calm.write(records)
    found = held(dying, records)
    assert found == held(calm, records)
    assert told_stories(dying, found) == told_stories(calm, found)
    dying.close()
    calm.close()
    wipe(other)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.UNANSWERED])
def test_lost_requests_and_answers_change_no_outcome(
    settings: ElasticSettings, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    """What the store was not told it had done, it finds done: outcomes are those of a calm network."""
    draw = random.Random(3)
    proxy.judge = lambda number, path, body: fault if draw.random() < 0.2 else Fault.NONE
    records = busy_day(5, like_a_log=True)[:120]
    store = ElasticStore(replace(settings, hosts=(proxy.url,), retry_seconds=30.0))
    once = EmbeddedStore.open(tmp_path)
    for start in range(0, len(records), 30):
        batch = records[start : start + 30]
        assert store.write(batch) == once.write(batch)
    proxy.mend()
    found = held(store, records)
    assert found == held(once, records)
    assert told_stories(store, found) == told_stories(once, found)
    once.close()
    store.close()


def test_a_log_made_anew_and_replayed_brings_nothing_back_and_loses_no_edit(settings: ElasticSettings) -> None:
    kept, edited, gone, withdrawn = told("1"), told("2", NEAR), told("3", OTHER), told("4")
    new_words = replace(told("2", OTHER), version=edited.version + (1 << 16))
    store = ElasticStore.open(settings)
    history: list[Record] = [kept, edited, gone, withdrawn, new_words, retraction(gone), withdrawal(withdrawn)]
    store.write(history)
    before = held(store, [kept, edited, gone, withdrawn])
    assert before.keys() == {kept.mention_id, edited.mention_id}
    # The log starts again with offsets of its own; of an old backup even without the retraction and the edit.
    for replay in (
        history,
        [kept, edited, gone, withdrawn],
        [gone, withdrawn, replace(gone, version=gone.version + 9)],
    ):
        store.close()
        store = ElasticStore.open(settings)
        assert set(store.write(replay)) == {Written.SUPERSEDED}
        assert held(store, [kept, edited, gone, withdrawn]) == before
    assert store.search(SearchRequest(node=Keyword("post_id", gone.post_id))).total == 0
    store.close()


def test_what_was_deleted_long_ago_stays_away(settings: ElasticSettings) -> None:
    """Elasticsearch itself forgets the version of a deleted document after a minute; here it forgets at once."""
    one, other = mention("1"), mention("2")
    store = ElasticStore.open(settings)
    store.write([one, other])
    index = f"{settings.prefix}mentions-2026.03"
    store.elastic.ask("PUT", f"/{index}/_settings", {"index.gc_deletes": "0ms"})
    store.write([withdrawal(one), retraction(other)])
    store.elastic.ask("POST", f"/{index}/_flush", parameters={"force": "true"})
    assert store.write([one, other]) == [Written.SUPERSEDED, Written.SUPERSEDED]
    assert store.count() == 0
    store.close()


# --- beside another worker


def crossing(store: ElasticStore, when: str, then: Callable[[], object]) -> None:
    """Let something happen once, right before this store sends its first request to a path that holds `when`."""
    asked = store.elastic.once
    waiting = [then]

    def once(method: str, path: str, body: bytes | None, *, lines: bool = False) -> object:
        if waiting and when in path and body is not None and b"mentions-2026" in body:
            waiting.pop()()
        return asked(method, path, body, lines=lines)

    store.elastic.once = once  # type: ignore[method-assign, assignment]


def test_a_retraction_that_crosses_a_write_wins(settings: ElasticSettings) -> None:
    """A worker that lost its partition writes what it had in hand after the new one has retracted it."""
    late, new = ElasticStore.open(settings), ElasticStore.open(settings)
    one, two = told("1"), told("1", brand="globex")
    crossing(late, "_bulk", lambda: new.write([one, retraction(one)]))
    assert late.write([one, two, told("2", OTHER)]) == [Written.SUPERSEDED, Written.SUPERSEDED, Written.STORED]
    assert held(late, [one, two, told("2")]).keys() == {told("2").mention_id}
    late.close()
    new.close()


def gone(author: str) -> AuthorRetraction:
    at = START + timedelta(days=1)
    return AuthorRetraction(author_key=f"x:{author}", source="x", retracted_at=at, asked_at=at)


def test_an_author_that_goes_while_another_worker_writes_is_gone(settings: ElasticSettings) -> None:
    """Posts and the retraction of their author are on different partitions: nothing orders them."""
    late, new = ElasticStore.open(settings), ElasticStore.open(settings)
    one, two = told("1", author_id="ann"), told("2", author_id="bob")
    crossing(late, "_bulk", lambda: new.write([gone("ann")]))
    assert late.write([one, two]) == [Written.SUPERSEDED, Written.STORED]
    assert held(late, [one, two]).keys() == {two.mention_id}
    story = late.story(next(iter(held(late, [two]).values())).story_id or "")
    assert story is not None
    assert (story.original.mention_id, story.posts) == (two.mention_id, 1)
    late.close()
    new.close()


def test_an_author_whose_retraction_is_cut_off_anywhere_is_gone_when_it_comes_again(
    settings: ElasticSettings, proxy: FaultyProxy
) -> None:
    """Between the tombstone and the deletion of the last mention: nothing new comes in, and the count is right."""
    theirs = [told(f"a{number}", f"{TEXT} {number}", author_id="ann") for number in range(5)]
    store = ElasticStore.open(settings)
    store.write([*theirs, told("b", OTHER, author_id="bob")])
    through = replace(settings, hosts=(proxy.url,), retry_seconds=0.01)
    passed, done = 0, False
    while not done:
        proxy.mend()
        dying = ElasticStore.open(through)
        proxy.after(passed, Fault.LOST)
        try:
            dying.write([gone("ann")])
            done = True
        except RetryLater:
            passed += 1
        finally:
            dying.close()
        if passed > 2:
            # The tombstone was read, and is the first thing that is written.
            assert store.write([told("new", author_id="ann")]) == [Written.SUPERSEDED]
    proxy.mend()
    assert passed > 5
    assert held(store, [*theirs, told("b")]).keys() == {told("b").mention_id}
    (row,) = store.retractions()
    assert (row.mentions, row.done_at is not None) == (5, True)
    store.close()


def test_a_withdrawal_that_crosses_a_write_wins(settings: ElasticSettings) -> None:
    late, new = ElasticStore.open(settings), ElasticStore.open(settings)
    one = told("1")
    crossing(late, "_bulk", lambda: new.write([withdrawal(one)]))
    late.write([one])
    assert held(late, [one]) == {}
    late.close()
    new.close()


def test_a_higher_version_that_crosses_a_write_wins(settings: ElasticSettings) -> None:
    late, new = ElasticStore.open(settings), ElasticStore.open(settings)
    one = told("1")
    newer = replace(one, version=one.version + 1, model="newer")
    crossing(late, "_bulk", lambda: new.write([newer]))
    assert late.write([one]) == [Written.SUPERSEDED]
    assert [found.model for found in held(late, [one]).values()] == ["newer"]
    late.close()
    new.close()


def test_two_workers_that_meet_a_new_story_at_once_agree_on_it(settings: ElasticSettings) -> None:
    rounds = 12
    stores = [ElasticStore.open(settings) for _ in range(2)]
    gate = threading.Barrier(2)
    draw = random.Random(8)
    words = [f"{a}{b}{c}" for a in "bdgkm" for b in "aeiou" for c in "lnrst"]
    texts = [" ".join(draw.sample(words, 12)) for _ in range(rounds)]

    def work(number: int) -> None:
        for turn, text in enumerate(texts):
            gate.wait()
            at = START + timedelta(hours=turn, minutes=draw.randint(0, 59))
            stores[number].write([told(f"{number}-{turn}", text, published_at=at), told(f"{number}-x{turn}")])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = stores[0]
    written = [told(f"{number}-{turn}", text) for number in range(2) for turn, text in enumerate(texts)]
    by_text: dict[str, set[str | None]] = {}
    for one in written:
        found = store.get(one.mention_id)
        assert found is not None
        by_text.setdefault(one.text, set()).add(found.story_id)
    assert [len(stories) for stories in by_text.values()] == [1] * rounds
    copies = {
        found.story_id for n in range(2) for t in range(rounds) if (found := store.get(told(f"{n}-x{t}").mention_id))
    }
    assert len(copies) == 1
    for one in stores:
        one.close()


# --- the server


def test_while_the_server_stands_still_nothing_is_lost_and_it_goes_on_by_itself(
    elastic_server: ElasticServer, settings: ElasticSettings
) -> None:
    hasty = replace(settings, request_timeout_seconds=0.5, retry_seconds=0.5)
    before, during = [mention(f"a{n}") for n in range(50)], [mention(f"b{n}") for n in range(50)]
    # Making an index may take a busy machine longer than a hasty writer waits.
    calm = ElasticStore.open(settings)
    calm.write(before)
    store = ElasticStore.open(hasty)
    elastic_server.pause()
    try:
        for _ in range(3):
            with pytest.raises(RetryLater):
                store.write(during)
        with pytest.raises(RetryLater):
            store.search(SearchRequest())
    finally:
        elastic_server.resume()
    for attempt in range(20):
        try:
            calm.write(during)
            break
        except RetryLater:
            assert attempt < 19
    assert held(calm, [*before, *during]).keys() == {one.mention_id for one in [*before, *during]}
    store.close()
    calm.close()


def test_after_a_restart_of_the_server_all_is_there(elastic_server: ElasticServer, settings: ElasticSettings) -> None:
    store = ElasticStore.open(replace(settings, retry_seconds=60.0))
    records = [told(f"a{n}", TEXT if n % 2 else OTHER) for n in range(40)]
    store.write(records)
    store.refresh()
    before = held(store, records)
    elastic_server.kill()
    elastic_server.start()
    assert set(store.write(records)) == {Written.SUPERSEDED}
    assert held(store, records) == before
    store.close()


def test_one_bad_record_among_many_is_refused_alone_and_leaves_no_story(settings: ElasticSettings) -> None:
    """What only Elasticsearch can find: a name of an attribute that its field cannot take."""
    good, bad = told("1"), replace(told("2", OTHER), attrs={"nul\0": "x"})
    wrong_month = replace(told("3", NEAR), routing_month="1969.12")
    store = ElasticStore.open(settings)
    outcomes = store.write([bad, good, wrong_month])
    assert outcomes[1] is Written.STORED
    assert [type(outcome) for outcome in outcomes] == [BadRecord, Written, BadRecord]
    assert held(store, [good, bad, wrong_month]).keys() == {good.mention_id}
    copy = told("4", OTHER)
    store.write([copy])
    found = store.get(copy.mention_id)
    assert found is not None
    assert found.story_id is not None
    story = store.story(found.story_id)
    assert story is not None
    assert (story.original.mention_id, story.posts) == (copy.mention_id, 1)
    store.close()


def test_months_lie_apart_and_are_dropped_whole(settings: ElasticSettings) -> None:
    months = ["2025.11", "2025.12", "2026.01", "2026.03"]
    records = [mention(month, routing_month=month) for month in months]
    store = ElasticStore.open(settings)
    store.write(records)
    assert held(store, records).keys() == {one.mention_id for one in records}
    assert store.drop_months(START.replace(month=1)).keys() == {"2025.11", "2025.12"}
    assert held(store, records).keys() == {one.mention_id for one in records[2:]}
    # A late edit of what was dropped makes its month anew; the next drop takes it.
    store.write([replace(records[0], version=records[0].version + 1)])
    assert store.drop_months(START.replace(month=1)).keys() == {"2025.11"}
    store.close()


def kept_of_stories(store: ElasticStore) -> list[dict[str, object]]:
    store.refresh()
    answer = store.elastic.ask("POST", f"/{store.names.stories}/_search", {"size": 500})
    return [hit["_source"] for hit in answer.body["hits"]["hits"]]


def test_the_words_of_posts_go_with_their_month_and_stories_that_outlive_it_keep_the_others(
    settings: ElasticSettings,
) -> None:
    old = {"published_at": START - timedelta(days=20), "routing_month": "2026.02"}
    # A story that goes whole, one whose original goes, and one that stays.
    gone = [told(f"g{n}", TEXT, **old) for n in range(3)]
    original, copy = told("o", OTHER, **old), told("p", OTHER)
    strange = told("ID WITH CAPITALS", "the engine made a strange noise over the ocean tonight", **old)
    stays = told("s", "a quiet flight with a friendly crew and a window seat")
    # Somebody asked for another brand later: the post has a mention in a month that stays.
    late = [
        told("l", "row seventeen has no window at all", **old),
        told("l", "row seventeen has no window at all", "b"),
    ]
    store = ElasticStore.open(settings)
    store.write([*gone, original, copy, strange, stays, *late])
    assert len({store.get(one.mention_id).story_id for one in gone}) == 1  # type: ignore[union-attr]
    assert store.drop_months(START) == {"2026.02": 5}
    assert {one["post_id"] for one in kept_of_stories(store)} == {copy.post_id, stays.post_id, late[0].post_id}
    assert not [one for one in kept_of_stories(store) if "counter" in str(one["said"]) or "noise" in str(one["said"])]
    found = held(store, [copy, stays, late[1]])
    assert found.keys() == {copy.mention_id, stays.mention_id, late[1].mention_id}
    assert {posts for _, posts, _ in told_stories(store, found).values()} == {1}
    assert {type(piece) for piece in store.dump()} == {StoryPost, Mention}
    # Nothing is left to be done, and the story is found by those that come.
    assert store.drop_months(START) == {}
    store.write([news := told("n", OTHER)])
    assert store.get(news.mention_id).story_id == found[copy.mention_id].story_id  # type: ignore[union-attr]
    store.close()


def test_a_drop_that_was_cut_off_is_finished_by_the_next(settings: ElasticSettings, proxy: FaultyProxy) -> None:
    old = {"published_at": START - timedelta(days=20), "routing_month": "2026.02"}
    texts = [TEXT, OTHER, "the engine made a strange noise over the ocean tonight"]
    records = [told(f"{n}", texts[n % 3], **old) for n in range(9)]
    stays = told("s", TEXT)
    store = ElasticStore.open(settings)
    requests = 0
    cut = True
    while cut:
        store.write([*(replace(one, version=one.version + requests) for one in records), stays])
        dying = ElasticStore.open(replace(settings, hosts=(proxy.url,), retry_seconds=0.01))
        proxy.after(requests, Fault.UNANSWERED)
        try:
            dying.drop_months(START)
            cut = False
        except RetryLater:
            requests += 1
        proxy.mend()
        dying.close()
        store.drop_months(START)
        assert {one["post_id"] for one in kept_of_stories(store)} == {stays.post_id}
        assert held(store, [*records, stays]).keys() == {stays.mention_id}
    assert requests > 10
    store.close()


def test_open_says_what_is_missing(elastic_server: ElasticServer, prefix: str) -> None:
    with pytest.raises(ConfigError, match="soundings setup"):
        ElasticStore.open(settings_for(elastic_server.url, prefix))
    store = open_elastic(elastic_server.url, prefix)
    store.close()
    wipe(settings_for(elastic_server.url, prefix))
