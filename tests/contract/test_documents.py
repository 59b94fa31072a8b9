"""The contract of `Documents`, held against a SQLite file and a real Elasticsearch."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.document_process import KIND as SHARED
from fakes.document_stores import open_documents, set_up_documents, start_process
from fakes.elastic_stores import settings_for, wipe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.documents import ABSENT, MAX_SCAN, Change, Conflict, Documents
from domain.errors import BadRecord
from search.sqlite_documents import SqliteDocuments

# What ids are made of in other systems' query languages, paths, wildcards and templates.
HOSTILE = (
    "'",
    '"',
    "%",
    "_",
    "*",
    "?",
    "\\",
    "/",
    "../x",
    "a:b",
    "a;DROP",
    "--",
    "{a}",
    "[a]",
    "$a",
    "#",
    "~",
    "!",
    "null",
    "0",
    "-1",
    "%s%n",
    "_search",
    "x" * 400,
    "A",
    "a",
)


@pytest.fixture(params=["sqlite", "elastic"])
def where(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[tuple[str, ...]]:
    """Where the documents of this test lie."""
    if request.param == "sqlite":
        yield ("sqlite", str(tmp_path / "alerts.db"))
        return
    url = request.getfixturevalue("elastic_server").url
    set_up_documents(url, prefix)
    yield ("elastic", url, prefix)
    wipe(settings_for(url, prefix))


@pytest.fixture
def open_again(where: tuple[str, ...]) -> Iterator[Callable[[], Documents]]:
    """Open the documents of this test, as often as wanted."""
    opened: list[Documents] = []

    def open_it() -> Documents:
        opened.append(open_documents(where))
        return opened[-1]

    yield open_it
    for documents in opened:
        documents.close()


@pytest.fixture
def documents(open_again: Callable[[], Documents]) -> Documents:
    return open_again()


def put(documents: Documents, *doc_ids: str, kind: str = "k", body: Any = None) -> None:
    documents.apply([Change(kind, doc_id, body or {"id": doc_id}) for doc_id in doc_ids])


def ids(found: Sequence[Any]) -> list[str]:
    return [one.doc_id for one in found]


def test_a_document_is_read_as_it_was_put(documents: Documents) -> None:
    body = {
        "text": "ä\u0000\U0001f600\n'\"",
        "n": 1,
        "big": 2**62,
        "f": 0.1,
        "no": None,
        "yes": True,
        "l": [[], {}, ""],
    }
    body |= {"deep": {"a.b": {"": {"..": [{"x": 1}, 2, "3"]}}}, "_id": "x", "ratio": -1e300}
    put(documents, "one", body=body)
    found = documents.get("k", ["one", "other"])
    assert list(found) == ["one"]
    assert (found["one"].kind, found["one"].doc_id, found["one"].body) == ("k", "one", body)


def test_bodies_of_one_kind_may_differ_in_every_type(documents: Documents) -> None:
    for number, value in enumerate(["text", 1, 1.5, True, None, [1], {"a": 1}, "2020-01-01", {"a": {"b": 1}}]):
        put(documents, f"d{number}", body={"value": value})
        assert documents.get("k", [f"d{number}"])[f"d{number}"].body == {"value": value}


def test_an_empty_body_is_a_document(documents: Documents) -> None:
    documents.apply([Change("k", "one", {})])
    assert documents.get("k", ["one"])["one"].body == {}


def test_what_json_cannot_hold_is_refused_and_changes_nothing(documents: Documents) -> None:
    for value in (float("nan"), float("inf"), "\ud800", 2**70, {1: 2}, [{"a": (float("nan"),)}]):
        with pytest.raises(BadRecord):
            documents.apply([Change("k", "good", {"n": 1}), Change("k", "bad", {"v": value})])
    assert documents.scan("k") == []


def test_kinds_are_apart(documents: Documents) -> None:
    put(documents, "one", kind="a", body={"of": "a"})
    put(documents, "one", kind="ab", body={"of": "ab"})
    assert documents.get("a", ["one"])["one"].body == {"of": "a"}
    assert ids(documents.scan("ab")) == ["one"]
    documents.apply([Change("a", "one", None)])
    assert documents.get("a", ["one"]) == {}
    assert ids(documents.scan("ab")) == ["one"]


def test_hostile_ids_are_ids_like_others(documents: Documents) -> None:
    put(documents, *HOSTILE)
    assert {doc_id: one.body["id"] for doc_id, one in documents.get("k", HOSTILE).items()} == {h: h for h in HOSTILE}
    assert ids(documents.scan("k")) == sorted(HOSTILE)
    for hostile in HOSTILE:
        wanted = sorted(one for one in HOSTILE if one.startswith(hostile))
        assert ids(documents.scan("k", prefix=hostile)) == wanted
        assert ids(documents.scan("k", after=hostile)) == sorted(one for one in HOSTILE if one > hostile)
    documents.apply([Change("k", hostile, None) for hostile in HOSTILE[::2]])
    assert ids(documents.scan("k")) == sorted(HOSTILE[1::2])


@pytest.mark.parametrize("doc_id", ["", "a b", "a\n", "ä", "x" * 401, "\x00", "\x7f", "a\u200b"])
def test_what_cannot_be_an_id_is_a_mistake_of_the_program(documents: Documents, doc_id: str) -> None:
    with pytest.raises(ValueError, match="id"):
        documents.get("k", [doc_id])
    with pytest.raises(ValueError, match="id"):
        documents.apply([Change("k", doc_id, {})])


@pytest.mark.parametrize("kind", ["", "A", "a b", "a/b", "a:b", "x" * 65, "ä"])
def test_what_cannot_be_a_kind_is_a_mistake_of_the_program(documents: Documents, kind: str) -> None:
    with pytest.raises(ValueError, match="kind"):
        documents.scan(kind)
    with pytest.raises(ValueError, match="kind"):
        documents.apply([Change(kind, "one", {})])


def test_two_changes_of_one_document_are_a_mistake_of_the_program(documents: Documents) -> None:
    with pytest.raises(ValueError, match="one document"):
        documents.apply([Change("k", "a", {}), Change("k", "a", None)])


def test_a_scan_is_by_id_both_ways_and_page_by_page(documents: Documents) -> None:
    numbers = [f"{n:014d}-{n % 7}" for n in range(25)]
    shuffled = random.Random(1).sample(numbers, len(numbers))
    put(documents, *shuffled)
    for descending in (False, True):
        pages, after = [], ""
        while page := documents.scan("k", after=after, limit=4, descending=descending):
            pages.append(ids(page))
            after = page[-1].doc_id
        assert [doc_id for page in pages for doc_id in page] == sorted(numbers, reverse=descending)
        assert {len(page) for page in pages[:-1]} == {4}


def test_a_scan_keeps_to_its_prefix(documents: Documents) -> None:
    put(documents, "a/1", "a/2", "a", "b/1", "a0", "a/")
    assert ids(documents.scan("k", prefix="a/")) == ["a/", "a/1", "a/2"]
    assert ids(documents.scan("k", prefix="a/", after="a/1")) == ["a/2"]
    assert ids(documents.scan("k", prefix="a/", after="a/1", descending=True)) == ["a/"]
    assert ids(documents.scan("k", prefix="a/", descending=True, limit=1)) == ["a/2"]
    assert documents.scan("k", prefix="c") == []


def test_a_scan_says_what_its_limit_may_be(documents: Documents) -> None:
    for limit in (0, -1, MAX_SCAN + 1):
        with pytest.raises(ValueError, match="limit"):
            documents.scan("k", limit=limit)


def test_a_full_page_is_given_whole(documents: Documents) -> None:
    wanted = [f"{n:05d}" for n in range(MAX_SCAN + 1)]
    put(documents, *wanted)
    assert ids(documents.scan("k")) == wanted[:MAX_SCAN]
    assert len(documents.get("k", wanted)) == MAX_SCAN + 1


def test_what_one_changed_the_other_sees_at_once(open_again: Callable[[], Documents]) -> None:
    one, other = open_again(), open_again()
    for number in range(20):
        put(one, "x", body={"n": number})
        assert [d.body["n"] for d in other.scan("k")] == [number]
        assert other.get("k", ["x"])["x"].body == {"n": number}
        one.apply([Change("k", "x", None)])
        assert other.scan("k") == []
        assert other.get("k", ["x"]) == {}


def test_what_was_applied_is_there_when_opened_again(open_again: Callable[[], Documents]) -> None:
    put(open_again(), "one")
    assert ids(open_again().scan("k")) == ["one"]


def test_a_revision_changes_with_every_change_and_only_then(documents: Documents) -> None:
    put(documents, "one", "two")
    first = documents.get("k", ["one", "two"])
    put(documents, "one")
    second = documents.get("k", ["one", "two"])
    assert second["one"].revision != first["one"].revision
    assert second["two"].revision == first["two"].revision
    assert [one.revision for one in documents.scan("k")] == [second["one"].revision, second["two"].revision]


def test_a_change_of_what_was_read_is_made_once(documents: Documents) -> None:
    documents.apply([Change("k", "one", {"n": 1}, ABSENT)])
    read = documents.get("k", ["one"])["one"].revision
    documents.apply([Change("k", "one", {"n": 2}, read)])
    with pytest.raises(Conflict) as caught:
        documents.apply([Change("k", "one", {"n": 3}, read)])
    assert (caught.value.kind, caught.value.ids) == ("k", ("one",))
    assert documents.get("k", ["one"])["one"].body == {"n": 2}


def test_what_is_there_cannot_be_made(documents: Documents) -> None:
    put(documents, "one", body={"n": 1})
    for body in ({"n": 2}, None):
        with pytest.raises(Conflict):
            documents.apply([Change("k", "one", body, ABSENT)])
    assert documents.get("k", ["one"])["one"].body == {"n": 1}


def test_what_is_gone_cannot_be_changed_or_deleted_as_if_it_were_there(documents: Documents) -> None:
    put(documents, "one")
    read = documents.get("k", ["one"])["one"].revision
    documents.apply([Change("k", "one", None, read)])
    for body in ({"n": 2}, None):
        with pytest.raises(Conflict):
            documents.apply([Change("k", "one", body, read)])
    assert documents.get("k", ["one"]) == {}


def test_a_document_made_anew_is_not_the_one_that_was_read(documents: Documents) -> None:
    put(documents, "one")
    read = documents.get("k", ["one"])["one"].revision
    documents.apply([Change("k", "one", None)])
    put(documents, "one")
    with pytest.raises(Conflict):
        documents.apply([Change("k", "one", {}, read)])


def test_without_comparison_the_last_change_stands(documents: Documents) -> None:
    put(documents, "one", body={"n": 1})
    put(documents, "one", body={"n": 2})
    assert documents.get("k", ["one"])["one"].body == {"n": 2}
    documents.apply([Change("k", "one", None), Change("k", "never", None)])
    documents.apply([Change("k", "one", None, ABSENT)])
    assert documents.scan("k") == []


def test_a_conflict_names_all_of_its_kind_and_can_be_made_good(documents: Documents, where: tuple[str, ...]) -> None:
    put(documents, "a", "b", "c", body={"n": 1})
    read = documents.get("k", ["a", "b", "c"])
    put(documents, "a", "c", body={"n": 2})
    changes = [Change("k", doc_id, {"n": 3}, read[doc_id].revision) for doc_id in read] + [Change("k", "new", {"n": 3})]
    with pytest.raises(Conflict) as caught:
        documents.apply(changes)
    assert sorted(caught.value.ids) == ["a", "c"]
    if where[0] == "sqlite":
        assert [one.body["n"] for one in documents.scan("k")] == [2, 1, 2]
    now = documents.get("k", ["a", "b", "c"])
    assert (now["a"].body, now["c"].body) == ({"n": 2}, {"n": 2})
    documents.apply([Change("k", one.doc_id, {"n": 3}, one.revision) for one in now.values()] + changes[3:])
    assert [one.body["n"] for one in documents.scan("k")] == [3, 3, 3, 3]


def test_changes_of_several_kinds_are_made_together(documents: Documents) -> None:
    documents.apply([Change("a", "one", {"n": 1}), Change("b", "one", {"n": 2}, ABSENT), Change("a", "two", {"n": 3})])
    assert [one.body["n"] for one in (*documents.scan("a"), *documents.scan("b"))] == [1, 3, 2]


def test_nothing_to_change_is_no_change(documents: Documents) -> None:
    documents.apply([])
    assert documents.get("k", []) == {}


def test_many_and_large_documents_are_applied_at_once(documents: Documents) -> None:
    # Three times what one request of Elasticsearch holds.
    changes = [Change("k", f"{n:04d}", {"text": "x" * 20_000, "n": n}, ABSENT) for n in range(600)]
    documents.apply(changes)
    assert [one.body["n"] for one in documents.scan("k", limit=MAX_SCAN)] == list(range(600))


WAYS = ("put", "delete", "make", "change")


# Each example begins by deleting what it uses.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete", "make", "change"])), max_size=12)
)
def test_any_row_of_changes_leaves_what_a_dict_would_hold(documents: Documents, steps: list[tuple[str, str]]) -> None:
    documents.apply([Change("model", doc_id, None) for doc_id in "abc"])
    model: dict[str, int] = {}
    for number, (doc_id, what) in enumerate(steps):
        body = None if what == "delete" else {"n": number}
        expected = None
        if what == "make":
            expected = ABSENT
        elif what == "change":
            found = documents.get("model", [doc_id]).get(doc_id)
            expected = found.revision if found else "1.1"
        fits = what in ("put", "delete") or (what == "make") == (doc_id not in model)
        try:
            documents.apply([Change("model", doc_id, body, expected)])
            assert fits
        except Conflict:
            assert not fits
            continue
        model.pop(doc_id, None)
        if body:
            model[doc_id] = number
    assert {one.doc_id: one.body["n"] for one in documents.scan("model")} == model


def test_processes_that_count_together_miss_nothing(documents: Documents, where: tuple[str, ...]) -> None:
    processes = [start_process(where, "count", "25") for _ in range(4)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert documents.get(SHARED, ["sum"])["sum"].body == {"number": 100}


def test_threads_that_share_one_object_miss_nothing(documents: Documents) -> None:
    def count() -> None:
        done = 0
        while done < 10:
            found = documents.get("k", ["sum"]).get("sum")
            number = found.body["n"] if found else 0
            try:
                documents.apply([Change("k", "sum", {"n": number + 1}, found.revision if found else ABSENT)])
            except Conflict:
                continue
            done += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert documents.get("k", ["sum"])["sum"].body == {"n": 40}


def test_what_a_killed_process_was_told_is_durable(documents: Documents, where: tuple[str, ...]) -> None:
    size, durable = 40, 0
    for seed in range(5):
        process = start_process(where, "write", str(size))
        assert process.stdout is not None
        for _ in range(random.Random(seed).randint(1, 15)):
            durable = int(process.stdout.readline())
        process.kill()
        rest = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.stdout.close()
        assert process.wait() == -9
        durable = max(durable, *map(int, rest), 0)
        found = [int(one.body["number"]) for one in documents.scan(SHARED)]
        assert len(found) == size
        assert durable <= min(found) <= max(found) <= durable + 1
        if where[0] == "sqlite":
            assert min(found) == max(found)


def test_a_new_file_may_be_opened_by_several_processes_at_once(where: tuple[str, ...]) -> None:
    processes = [start_process(where, "open") for _ in range(6)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 6


def test_a_file_that_was_deleted_under_it_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    with closing(SqliteDocuments.open(path)) as documents:
        documents.apply([Change("note", "a", {"n": 1})])
        for file in tmp_path.glob("alerts.db*"):
            file.unlink()
        assert documents.get("note", ["a"]) == {}
        documents.apply([Change("note", "b", {"n": 2})])
        with closing(SqliteDocuments.open(path)) as other:
            assert other.get("note", ["a", "b"]).keys() == {"b"}
