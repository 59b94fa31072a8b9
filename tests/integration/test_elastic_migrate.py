"""Migrations that are cut off at any request: the next one finishes or clears up, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes.elastic_stores import set_up, settings_for, wipe
from fakes.faulty_proxy import Fault, FaultyProxy, faulty
from fakes.mentions import mention
from fakes.told import told
from servers.elastic import ElasticServer

from domain.errors import ConfigError, RetryLater
from domain.records import Mention
from search.elastic import ElasticStore
from search.elastic_http import NoAnswer
from search.elastic_migrate import migrate
from search.elastic_settings import ElasticSettings
from search.elastic_setup import differences, month_troubles
from search.store import SearchRequest, Written

MONTH = "2026.03"


@pytest.fixture
def settings(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticSettings]:
    """A prefix that is set up; a writer that hears nothing gives up soon."""
    settings = replace(settings_for(elastic_server.url, prefix), retry_seconds=0.3)
    set_up(settings)
    yield settings
    wipe(settings)


@pytest.fixture
def store(settings: ElasticSettings) -> Iterator[ElasticStore]:
    """The store of a worker, open all the time."""
    store = ElasticStore.open(settings)
    yield store
    store.close()


@pytest.fixture
def proxy(elastic_server: ElasticServer) -> Iterator[FaultyProxy]:
    with faulty(elastic_server.url) as proxy:
        yield proxy


def held(store: ElasticStore) -> dict[str, Mention]:
    """Give all mentions; by search and by id they are the same, and each is there once."""
    store.refresh()
    page = store.search(SearchRequest(limit=500))
    assert page.total == len(page.mentions) == len({one.mention_id for one in page.mentions})
    found = {one.mention_id: one for one in page.mentions}
    assert {one: store.get(one) for one in found} == found
    return found


def indices(store: ElasticStore) -> dict[str, set[str]]:
    """Give the indices of all months with their aliases, without the prefix."""
    names = store.names
    answer = store.elastic.ask("GET", f"/{names.mentions}-*/_alias")
    cut = len(names.mentions)
    return {name[cut:]: {alias[cut:] for alias in one["aliases"]} for name, one in answer.body.items()}


def check_whole(store: ElasticStore, settings: ElasticSettings, number: int) -> None:
    """See that the month is one index, read and written to under its names, and that the doctor finds nothing."""
    (index,) = {name for name in indices(store) if MONTH in name}
    assert indices(store)[index] == ({""} if index == f"-{MONTH}" else {"", f"-{MONTH}"})
    assert month_troubles(store.elastic, settings) == []
    assert differences(store.elastic, settings) == []
    assert store.write([mention(f"after-{number}")]) == [Written.STORED]


def write_meanwhile(store: ElasticStore, one: Mention) -> bool:
    """Write as a worker does between two runs: it is stored, or the worker is told to wait and for what."""
    told_to_wait = ""
    try:
        assert store.write([one]) == [Written.STORED]
    except RetryLater as exc:
        told_to_wait = str(exc)
    assert not told_to_wait or "soundings migrate" in told_to_wait
    return not told_to_wait


def changes(path: str, body: bytes) -> bool:
    """Tell whether a request changes anything: what dies between two that do not, dies in the same state."""
    target = path.partition("?")[0]
    if target.startswith("/_"):
        return target in ("/_bulk", "/_aliases")
    # Besides: an index is made, or given settings.
    return target.count("/") == 1 or target.endswith("/_settings")


class Dying:
    """Counts changes, and lets the client die after one of them: it is carried out, and nothing is heard any more."""

    def __init__(self, after: int, *, for_good: bool = True) -> None:
        self._after, self._for_good = after, for_good
        self.changes = 0

    def judge(self, number: int, path: str, body: bytes) -> Fault:
        """Give what happens to a request."""
        if self.changes >= self._after and self._for_good:
            return Fault.LOST
        self.changes += changes(path, body)
        return Fault.UNANSWERED if changes(path, body) and self.changes == self._after else Fault.NONE


def run_dying(settings: ElasticSettings, proxy: FaultyProxy, after: int) -> bool:
    """Run a migration that dies after so many changes; tells whether it did."""
    proxy.mend()
    through = ElasticStore.open(replace(settings, hosts=(proxy.url,), retry_seconds=0.01))
    proxy.judge = Dying(after).judge
    try:
        migrate(through.elastic, through.bulk, settings, every=True)
    except RetryLater:
        return True
    finally:
        through.close()
    return False


@pytest.mark.parametrize(("every", "again"), [(True, 0), (False, 0), (False, 1), (False, 2)])
def test_a_migration_killed_after_any_change_is_finished_or_cleared_away_by_the_next(
    store: ElasticStore, settings: ElasticSettings, proxy: FaultyProxy, every: bool, again: int
) -> None:
    """`again`: the next dies too, after so many changes. `every`: the last writes months anew, or only clears up."""
    expected = [told("1"), told("2")]
    store.write(expected)
    waited = killed = 0
    while run_dying(settings, proxy, killed + 1):
        killed += 1
        news = mention(f"news-{killed}")
        stored = write_meanwhile(store, news)
        waited += not stored
        if again:
            run_dying(settings, proxy, again)
        migrate(store.elastic, store.bulk, settings, every=every)
        assert store.write([news]) == [Written.SUPERSEDED if stored else Written.STORED]
        check_whole(store, settings, killed)
        expected += [news, mention(f"after-{killed}")]
        assert held(store).keys() == {one.mention_id for one in expected}
    # The index, its alias, copies, the block, copies, the switch.
    assert killed >= 6
    assert waited >= 2


def test_a_migration_of_which_one_answer_is_lost_goes_on(
    store: ElasticStore, settings: ElasticSettings, proxy: FaultyProxy
) -> None:
    """Above all the answer to the switch: the old index is gone then, and the new one must not go too."""
    expected = [told("1"), told("2")]
    store.write(expected)
    through = ElasticStore.open(replace(settings, hosts=(proxy.url,), retry_seconds=20.0))
    sent, lost = 1, 0
    while lost < sent:
        lost += 1
        dying = Dying(lost, for_good=False)
        proxy.judge = dying.judge
        migrate(through.elastic, through.bulk, settings, every=True)
        sent = dying.changes
        check_whole(store, settings, lost)
        expected.append(mention(f"after-{lost}"))
        assert held(store).keys() == {one.mention_id for one in expected}
    assert lost >= 6
    through.close()


def test_a_switch_that_is_carried_out_late_is_not_undone(store: ElasticStore, settings: ElasticSettings) -> None:
    """The server was slow: the migration has given up on the switch, and looks, a moment before it comes."""
    expected = [told("1"), told("2")]
    store.write(expected)
    migrating = ElasticStore.open(replace(settings, retry_seconds=0.01))
    asked = migrating.elastic.once
    late: list[bytes] = []

    def once(method: str, path: str, body: bytes | None, *, lines: bool = False) -> object:
        if body is not None and b"remove_index" in body and b"add" in body:
            if late:
                asked("POST", "/_aliases", late[0])
                return asked(method, path, body)
            late.append(body)
            raise NoAnswer("slow", 1.0)
        return asked(method, path, body, lines=lines)

    migrating.elastic.once = once  # type: ignore[method-assign, assignment]
    with pytest.raises(RetryLater, match="took the place"):
        migrate(migrating.elastic, migrating.bulk, settings, every=True)
    migrating.close()
    check_whole(store, settings, 0)
    assert held(store).keys() == {one.mention_id for one in [*expected, mention("after-0")]}


# --- what the doctor says


def alias(store: ElasticStore, *actions: dict[str, dict[str, str]]) -> None:
    store.elastic.ask("POST", "/_aliases", {"actions": list(actions)})


def test_a_month_whose_writes_are_refused_is_told_and_mended(store: ElasticStore, settings: ElasticSettings) -> None:
    store.write([told("1")])
    name = store.names.month(MONTH)
    store.elastic.ask("PUT", f"/{name}/_settings", {"index.blocks.write": True})
    (line,) = month_troubles(store.elastic, settings)
    assert "writes" in line
    assert "run `soundings migrate`" in line
    with pytest.raises(RetryLater, match="run it again"):
        store.write([told("2")])
    lines = migrate(store.elastic, store.bulk, settings)
    assert [one for one in lines if "let in again" in one]
    check_whole(store, settings, 0)


def test_a_name_of_two_indices_is_told_and_mended_and_no_record_is_parked_for_it(
    store: ElasticStore, settings: ElasticSettings
) -> None:
    """What older programs left: the empty index of a run that was cut off, taken for a month by the next."""
    expected = [told("1"), told("2")]
    store.write(expected)
    migrate(store.elastic, store.bulk, settings, every=True)
    name, stray = store.names.month(MONTH), store.names.month(f"{MONTH}") + "-3"
    store.elastic.ask("PUT", f"/{stray}", {})
    assert month_troubles(store.elastic, settings) == []
    assert [line for line in differences(store.elastic, settings) if stray in line and "soundings migrate" in line]
    alias(store, {"add": {"index": stray, "alias": name}})
    (line,) = month_troubles(store.elastic, settings)
    assert "run `soundings migrate`" in line
    fresh = ElasticStore.open(settings)
    for worker in (store, fresh):
        with pytest.raises(RetryLater, match="`soundings migrate` mends it"):
            worker.write([told("3")])
    fresh.close()
    migrate(store.elastic, store.bulk, settings)
    check_whole(store, settings, 0)
    assert held(store).keys() == {one.mention_id for one in [*expected, mention("after-0")]}


def test_a_month_that_lost_its_names_gets_them_back(store: ElasticStore, settings: ElasticSettings) -> None:
    store.write([told("1")])
    migrate(store.elastic, store.bulk, settings, every=True)
    index = f"{store.names.month(MONTH)}-2"
    alias(
        store,
        {"remove": {"index": index, "alias": store.names.month(MONTH)}},
        {"remove": {"index": index, "alias": store.names.mentions}},
    )
    assert len(month_troubles(store.elastic, settings)) == 2
    migrate(store.elastic, store.bulk, settings)
    check_whole(store, settings, 0)
    assert held(store).keys() == {told("1").mention_id, mention("after-0").mention_id}


def test_two_indices_that_hold_mentions_of_a_month_are_left_as_they_are(
    store: ElasticStore, settings: ElasticSettings
) -> None:
    store.write([told("1")])
    other = f"{store.names.month(MONTH)}-7"
    store.elastic.ask("PUT", f"/{other}", {})
    store.elastic.ask("PUT", f"/{other}/_doc/stray", {"mention_id": "stray"})
    (line,) = month_troubles(store.elastic, settings)
    assert other in line
    with pytest.raises(ConfigError, match="2026-03"):
        migrate(store.elastic, store.bulk, settings)
    assert set(indices(store)) == {f"-{MONTH}", f"-{MONTH}-7"}


def test_a_worker_that_writes_to_what_it_read_before_a_migration_makes_no_index_anew(
    store: ElasticStore, settings: ElasticSettings
) -> None:
    """It has read where the mentions of a post are; meanwhile the month is switched."""
    first, second = told("1"), told("1", brand="globex")
    store.write([first, second])
    migrate(store.elastic, store.bulk, settings, every=True)
    asked, waiting = store.elastic.once, [True]

    def once(method: str, path: str, body: bytes | None, *, lines: bool = False) -> object:
        # Right before other mentions of a post are moved to its new story.
        if waiting and "_bulk" in path:
            waiting.pop()
            migrate(store.elastic, store.bulk, settings, every=True)
        return asked(method, path, body, lines=lines)

    store.elastic.once = once  # type: ignore[method-assign, assignment]
    changed = replace(told("1", "Quite another story about a lovely breakfast above the clouds"), version=2 << 20)
    store.write([told("2", changed.text), changed])
    check_whole(store, settings, 0)
    found = held(store)
    assert found[second.mention_id].story_id == found[changed.mention_id].story_id is not None
