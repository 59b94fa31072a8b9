"""Brands that change while the pipeline runs: added, edited, paused, and the kept posts held against them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.running_pipeline import Running, post, running_pipeline, write_rows

from domain.errors import Busy, ConfigError, QueryError
from domain.query.ast import Everything, Keyword
from domain.records import Mention
from search.store import MAX_PAGE, SearchRequest
from service.control import ClientGone
from service.rematching import standing

PATIENCE_SECONDS = 60.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_pipeline(tmp_path) as running:
        yield running


def quiet(progress: object) -> None:
    """Nobody looks."""


def change(running: Running, act: str, brand_id: str = "", **values: object) -> dict[str, Any]:
    return running.pipeline.change_brands({"act": act, "brand_id": brand_id, "values": values})


def found(running: Running, brand_id: str) -> dict[str, Mention]:
    """Give the mentions of a brand by the native id of their post."""
    page = running.pipeline._store.search(SearchRequest(Keyword("brand_id", brand_id), limit=MAX_PAGE))
    return {mention.post_id.partition(":")[2]: mention for mention in page.mentions}


def everything(running: Running) -> dict[tuple[str, str], tuple[str, int]]:
    page = running.pipeline._store.search(SearchRequest(Everything(), limit=MAX_PAGE))
    return {(one.post_id, one.brand_id): (one.text, one.version) for one in page.mentions}


def rematch(running: Running, brand_id: str) -> tuple[int, int]:
    did = running.pipeline.rematch(brand_id, quiet)
    assert did["done"]
    return did["added"], did["withdrawn"]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


ROWS = [
    post(1, "acme mug is fine"),
    post(2, "acme lid leaks"),
    post(3, "globex mug is fine"),
    post(4, "acme and globex lid"),
    post(5, "nobody speaks of it"),
]


def test_a_brand_made_while_running_is_matched_and_kept_over_a_restart(tmp_path: Path) -> None:
    with running_pipeline(tmp_path) as running:
        made = change(running, "add", name="Mug Works", query="mug")
        assert (made["brand_id"], made["query_revision"], made["file"]) == ("mug-works", 1, "")
        running.replay(write_rows(tmp_path / "a.jsonl", ROWS))
        assert sorted(found(running, "mug-works")) == ["p1", "p3"]
        assert found(running, "mug-works")["p1"].brand == "Mug Works"
    with running_pipeline(tmp_path) as running:
        assert [brand.brand_id for brand in running.pipeline.book.active] == ["acme", "globex", "mug-works"]


def test_a_paused_brand_is_not_matched_and_its_mentions_stay(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", ROWS))
    change(running, "pause", "acme")
    running.replay(write_rows(tmp_path / "b.jsonl", [post(6, "acme again"), post(2, "all is well", edited_at=LATER)]))
    assert sorted(found(running, "acme")) == ["p1", "p2", "p4"]
    change(running, "resume", "acme")
    running.replay(write_rows(tmp_path / "c.jsonl", [post(7, "acme is back")]))
    assert sorted(found(running, "acme")) == ["p1", "p2", "p4", "p7"]


LATER = "2026-03-02T12:00:00Z"


def test_an_edit_beside_a_paused_brand_is_taken_up_by_the_rematch(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, "acme and globex")]))
    change(running, "pause", "acme")
    running.replay(write_rows(tmp_path / "b.jsonl", [post(1, "globex alone", edited_at=LATER)]))
    assert found(running, "acme")["p1"].text == "acme and globex 1"
    change(running, "resume", "acme")
    assert rematch(running, "acme") == (0, 1)
    assert found(running, "acme") == {}
    assert found(running, "globex")["p1"].text == "globex alone 1"


def test_a_brand_of_the_file_is_changed_in_the_file_alone(running: Running) -> None:
    for act in ("edit", "remove"):
        with pytest.raises(ConfigError, match=r"brand acme: belongs to .*soundings\.toml"):
            change(running, act, "acme", query="other")
    assert change(running, "pause", "acme")["paused"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"name": "", "query": "x y"}, "name: found"),
        ({"name": "New", "query": "NOT x1"}, "positive anchor"),
        ({"name": "New", "query": "sentiment:negative mug"}, "cannot use the field"),
        ({"name": "Acme", "query": "mug"}, "is there already"),
        ({"name": "New", "query": "mug", "brand_id": "Not A Slug"}, "expected a slug"),
        ({"name": "New", "query": "mug", "competitors": ["nobody"]}, "id of another brand"),
        ({"name": "a\u202eb\n", "query": "mug", "handles": ["x" * 500]}, "handles: expected"),
    ],
)
def test_a_brand_that_cannot_be_is_refused_with_every_reason(
    running: Running, values: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        running.pipeline.change_brands({"act": "add", "values": values})
    assert [brand.brand_id for brand in running.pipeline.book.brands] == ["acme", "globex"]


def test_a_query_that_cannot_be_read_says_where(running: Running) -> None:
    with pytest.raises(QueryError) as caught:
        change(running, "add", name="New", query="mug (lid")
    assert caught.value.position == 8


def test_a_change_of_a_query_raises_its_revision_and_a_change_of_the_name_does_not(running: Running) -> None:
    change(running, "add", name="Mug", query="mug")
    assert change(running, "edit", "mug", name="The Mug")["query_revision"] == 1
    assert change(running, "edit", "mug", query="mug OR lid")["query_revision"] == 2
    assert change(running, "edit", "mug", query="mug")["query_revision"] == 3


def test_the_file_is_read_again_by_itself_and_problems_leave_the_old_brands(
    running: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "soundings.toml"
    whole = config.read_text()
    config.write_text(whole + '[[brands]]\nid = "initech"\nquery = "initech"\n')
    until(lambda: len(running.pipeline.book.active) == 3)
    config.write_text(whole + '[[brands]]\nid = "broken"\nquery = "( broken"\n')
    until(lambda: "its brands stay" in caplog.text)
    assert [brand.brand_id for brand in running.pipeline.book.active] == ["acme", "globex", "initech"]
    config.write_text(whole.replace('"tiny"', '"int8"'))
    until(lambda: len(running.pipeline.book.active) == 2)
    assert caplog.text.count("its brands stay") == 1
    assert caplog.text.count("engine.kind changed, which needs a restart") == 1


def test_a_file_that_looks_the_same_is_read_when_asked(running: Running, tmp_path: Path) -> None:
    config = tmp_path / "soundings.toml"
    until(lambda: running.pipeline.book._file._mark is not None)
    before = config.stat()
    config.write_text(config.read_text().replace("globex", "xebolg"))
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    running.pipeline.read_again.set()
    until(lambda: [brand.brand_id for brand in running.pipeline.book.active] == ["acme", "xebolg"])


def test_rematching_adds_what_is_found_now_and_withdraws_what_is_not(running: Running, tmp_path: Path) -> None:
    change(running, "add", name="Mug", query="mug")
    running.replay(write_rows(tmp_path / "a.jsonl", ROWS))
    change(running, "edit", "mug", query="lid")
    assert rematch(running, "mug") == (2, 2)
    mentions = found(running, "mug")
    assert sorted(mentions) == ["p2", "p4"]
    # Found long after they were written, they raise no alarm; those of other brands are as they were.
    assert all(mention.backfilled and mention.query_revision == 2 for mention in mentions.values())
    assert sorted(found(running, "acme")) == ["p1", "p2", "p4"]
    before = everything(running)
    assert rematch(running, "mug") == (0, 0)
    assert everything(running) == before


def test_a_query_that_changes_there_and_back_gives_back_exactly_its_mentions(running: Running, tmp_path: Path) -> None:
    change(running, "add", name="Mug", query="mug")
    file = write_rows(tmp_path / "a.jsonl", ROWS)
    running.replay(file)
    before = everything(running)
    for _ in range(3):
        change(running, "edit", "mug", query="lid")
        assert rematch(running, "mug") == (2, 2)
        change(running, "edit", "mug", query="mug")
        assert rematch(running, "mug") == (2, 2)
    assert {key: text for key, (text, _) in everything(running).items()} == {
        key: text for key, (text, _) in before.items()
    }
    # A late replay of what was read before changes nothing.
    now = everything(running)
    books = running.replay(file)
    assert (books["duplicate"], books["matched"]) == (4, 0)
    assert everything(running) == now


def test_an_edit_between_two_changes_of_a_query_is_not_lost(running: Running, tmp_path: Path) -> None:
    change(running, "add", name="Mug", query="mug")
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, "acme mug")]))
    for query in ("lid", "mug", "lid", "mug", "lid"):
        change(running, "edit", "mug", query=query)
        rematch(running, "mug")
    # One millisecond later by the author's clock: less than the changes have raised the revision by.
    edit = post(1, "acme mug and lid", edited_at="2026-03-01T12:00:00.001Z")
    running.replay(write_rows(tmp_path / "b.jsonl", [edit]))
    assert {brand: found(running, brand)["p1"].text for brand in ("acme", "mug")} == {
        "acme": "acme mug and lid 1",
        "mug": "acme mug and lid 1",
    }
    change(running, "edit", "mug", query="mug -lid")
    assert rematch(running, "mug") == (0, 1)
    old = write_rows(tmp_path / "c.jsonl", [post(1, "acme mug")])
    assert running.replay(old)["duplicate"] == 1
    assert found(running, "mug") == {}


def test_an_edit_away_from_a_brand_and_a_query_that_finds_it_again(running: Running, tmp_path: Path) -> None:
    change(running, "add", name="Mug", query="mug")
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, "acme mug")]))
    edited = write_rows(tmp_path / "b.jsonl", [post(1, "acme lid", edited_at=LATER)])
    running.replay(edited)
    assert found(running, "mug") == {}
    change(running, "edit", "mug", query="lid")
    running.replay(edited)
    assert found(running, "mug")["p1"].text == "acme lid 1"


def test_a_declared_language_is_remembered_for_rematching(running: Running, tmp_path: Path) -> None:
    change(running, "add", name="Mug", query="mug")
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, "acme mug", lang="sv"), post(2, "acme mug", lang="en")]))
    change(running, "edit", "mug", query="mug lang:sv")
    assert rematch(running, "mug") == (0, 1)
    assert sorted(found(running, "mug")) == ["p1"]


def test_a_retracted_post_is_not_brought_back_by_a_rematch(running: Running, tmp_path: Path) -> None:
    pipeline = running.pipeline
    change(running, "add", name="Mug", query="lid")
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, "acme mug"), post(2, "acme mug")]))
    row = next(iter(found(running, "acme").values())).post_id
    from ingest.ledger import SPACE, Seen
    from stream.protocol import Settlement, StateWrite

    seen = Seen.from_bytes(pipeline._log.state(SPACE, [row])[row])
    gone = seen.to_bytes().replace(b"{", b'{"gone":true,', 1)
    pipeline._log.settle(Settlement(state=[StateWrite(SPACE, row, gone)]))
    change(running, "edit", "mug", query="mug")
    assert rematch(running, "mug") == (1, 0)
    assert row not in {mention.post_id for mention in found(running, "mug").values()}


def test_a_rematch_that_was_cut_off_goes_on_with_the_next_page(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rematching.MAX_PAGE", 10)
    running.replay(write_rows(tmp_path / "a.jsonl", [post(number, "acme mug") for number in range(45)]))
    change(running, "add", name="Mug", query="mug")
    told: list[object] = []

    class CutOff(Exception):
        pass

    def cut_off(progress: object) -> None:
        told.append(progress)
        if len(told) == 2:
            raise CutOff

    with pytest.raises(CutOff):
        running.pipeline.rematch("mug", cut_off)
    half = standing(running.pipeline._log, "mug")
    assert half is not None
    assert (half.looked, half.added, half.done) == (20, 20, False)
    did = running.pipeline.rematch("mug", quiet)
    assert did["resumed"]
    assert did["run"] == half.run
    assert did["added"] == 45
    assert len(found(running, "mug")) == 45
    books = {(count.outcome, count.number) for count in running.pipeline._log.counts() if count.run == did["run"]}
    assert ("ok", 45) in {(outcome.value, number) for outcome, number in books}


@pytest.mark.parametrize("stays", [True, False], ids=["who asked first stays", "who asked first goes away"])
def test_who_asks_for_a_rematch_that_goes_on_already_joins_it(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    monkeypatch.setattr("service.rematching.MAX_PAGE", 10)
    running.replay(write_rows(tmp_path / "a.jsonl", [post(number, "acme mug") for number in range(25)]))
    for name in ("Mug", "Lid"):
        change(running, "add", name=name, query=name)
    begun, seen, answers = threading.Event(), threading.Event(), list[dict[str, Any]]()

    def first(progress: object) -> None:
        begun.set()
        assert seen.wait(PATIENCE_SECONDS)
        if not stays:
            raise ClientGone("the client is gone")

    def ask() -> None:
        try:
            answers.append(running.pipeline.rematch("mug", first))
        except ClientGone:
            answers.append({})

    asking = threading.Thread(target=ask)
    asking.start()
    assert begun.wait(PATIENCE_SECONDS)
    with pytest.raises(Busy, match="rematches brand mug"):
        running.pipeline.rematch("lid", quiet)
    told: list[object] = []

    def second(progress: object) -> None:
        told.append(progress)
        seen.set()

    did = running.pipeline.rematch("mug", second)
    asking.join()
    assert told[0] == {"stages": {"rematch": {"done": 10, "total": 25}}}
    assert (did["joined"], did["resumed"]) == (stays, not stays)
    assert (did["added"], did["looked"], did["kept"], len(found(running, "mug"))) == (25, 25, 25, 25)
    assert answers == ([{**did, "joined": False}] if stays else [{}])
    assert rematch(running, "lid") == (0, 0)


def test_a_rematch_that_nobody_waits_for_goes_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rematching.MAX_PAGE", 10)
    with running_pipeline(tmp_path) as running:
        running.replay(write_rows(tmp_path / "a.jsonl", [post(number, "acme mug") for number in range(45)]))
        change(running, "add", name="Mug", query="mug")

        def cut_off(progress: object) -> None:
            raise ConfigError("the power went")

        with pytest.raises(ConfigError, match="the power went"):
            running.pipeline.rematch("mug", cut_off)
        assert len(found(running, "mug")) < 45
    with running_pipeline(tmp_path) as running:
        until(lambda: len(found(running, "mug")) == 45)


def test_rematches_that_nobody_waits_for_take_turns(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", ROWS))
    for name, query in (("Mug", "mug"), ("Lid", "lid")):
        change(running, "add", name=name, query=query)
    for brand_id in ("mug", "lid", "mug"):
        running.pipeline.begin_rematch(brand_id)
    until(lambda: (sorted(found(running, "mug")), sorted(found(running, "lid"))) == (["p1", "p3"], ["p2", "p4"]))
    running.pipeline.check()


def test_a_paused_brand_is_not_rematched(running: Running) -> None:
    change(running, "pause", "acme")
    with pytest.raises(ConfigError, match="paused"):
        running.pipeline.rematch("acme", quiet)
    with pytest.raises(ConfigError, match="is not there"):
        running.pipeline.rematch("nobody", quiet)
