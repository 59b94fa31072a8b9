"""A store copied into another, backed up, restored, moved to a new template: nothing is lost, nothing comes back."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from pathlib import Path

import pytest
from fakes.document_stores import open_documents, set_up_documents
from fakes.elastic_stores import open_elastic, settings_for, wipe
from fakes.mentions import START, many_mentions, mention, retraction, withdrawal
from fakes.told import OTHER, TEXT, busy_day, told
from servers.elastic import ElasticServer

from domain.documents import Change, Documents
from domain.errors import ConfigError
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from search import elastic_migrate
from search.elastic import ElasticStore
from search.embedded import TRUTH_FILE, EmbeddedStore
from search.export_file import read_export, write_export
from search.store import SearchRequest, Written
from search.transfer import Piece, copy, dump_documents
from stream.sqlite_backup import copy_database

Record = Mention | Withdrawal | Retraction
AnyStore = EmbeddedStore | ElasticStore
OpenStore = Callable[[str], AnyStore]


@pytest.fixture
def open_store(tmp_path: Path, prefix: str, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """Open an empty store of a kind."""
    opened: list[AnyStore] = []
    prefixes: list[str] = []

    def open_it(kind: str) -> AnyStore:
        if kind == "embedded":
            opened.append(EmbeddedStore.open(tmp_path / f"store-{len(opened)}"))
        else:
            url = request.getfixturevalue("elastic_server").url
            prefixes.append(f"{prefix}s{len(opened)}-")
            opened.append(open_elastic(url, prefixes[-1]))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
    for own in prefixes:
        wipe(settings_for(request.getfixturevalue("elastic_server").url, own))


def held(store: AnyStore) -> dict[str, Mention]:
    store.refresh()
    page = store.search(SearchRequest(limit=500))
    assert page.next_cursor is None
    return {one.mention_id: one for one in page.mentions}


def stories_of(store: AnyStore, mentions: dict[str, Mention]) -> dict[str, tuple[str, int, int]]:
    found = {}
    for story_id in {one.story_id for one in mentions.values() if one.story_id and one.signature is not None}:
        story = store.story(story_id)
        assert story is not None
        found[story_id] = (story.original.post_id, story.posts, story.mentions)
    return found


PAIRS = [(one, other) for one in ("embedded", "elastic") for other in ("embedded", "elastic")]


@pytest.mark.parametrize(("from_kind", "to_kind"), PAIRS)
def test_an_export_brings_everything_into_another_store(
    open_store: OpenStore, tmp_path: Path, from_kind: str, to_kind: str
) -> None:
    records = [*busy_day(4)[:150], *many_mentions(60)]
    removed: list[Record] = [withdrawal(mention("w")), retraction(mention("r"))]
    source, target = open_store(from_kind), open_store(to_kind)
    source.write([*records, *removed])
    before = held(source)
    file = tmp_path / "export.jsonl.gz"
    written = write_export(source.dump(), file)
    assert written.mentions == len(before)
    assert file.stat().st_mode & 0o077 == 0
    copied = copy(read_export(file), target)
    assert copied.refused == []
    assert (copied.mentions, copied.pieces) == (written.mentions, written.pieces)
    assert held(target) == before
    assert stories_of(target, before) == stories_of(source, before)
    # What must not come back stays away, and what comes again changes nothing.
    again = [*records, mention("w"), replace(mention("r"), version=1 << 40)]
    assert set(target.write(again)) == {Written.SUPERSEDED}
    assert copy(read_export(file), target).stored == 0
    assert held(target) == before
    # Later posts meet the stories that came.
    news = [told("new", TEXT), told("new2", OTHER)]
    assert [type(one) for one in source.write(news)] == [type(one) for one in target.write(news)]
    assert [source.get(one.mention_id) for one in news] == [target.get(one.mention_id) for one in news]


@pytest.mark.parametrize(("from_kind", "to_kind"), PAIRS)
def test_authors_that_are_gone_or_back_and_the_ledger_come_along(
    open_store: OpenStore, tmp_path: Path, from_kind: str, to_kind: str
) -> None:
    def author(name: str, day: int, **changed: object) -> AuthorRetraction:
        at = START + timedelta(days=day)
        made = AuthorRetraction(author_key=f"x:{name}", source="x", retracted_at=at, asked_at=at, asked_by="Ada")
        return replace(made, **changed)

    back_at = START + timedelta(days=2)
    back = Restoration(source="x", restored_at=back_at, taken_from=back_at, author_key="x:bob")
    new = mention("new", author_id="bob", collected_at=back_at)
    source, target = open_store(from_kind), open_store(to_kind)
    source.write([mention("1", author_id="ann"), author("ann", 1), author("bob", 1), back, new])
    file = tmp_path / "export.jsonl"
    written = write_export(source.dump(), file)
    assert (written.mentions, written.withdrawals, written.retractions, written.rows) == (1, 0, 3, 2)
    for _ in range(2):
        assert copy(read_export(file), target).refused == []
        assert held(target).keys() == {new.mention_id}
        assert list(target.retractions()) == list(source.retractions())
    late = [mention("2", author_id="ann"), mention("3", author_id="bob")]
    assert target.write(late) == source.write(late) == [Written.SUPERSEDED, Written.SUPERSEDED]


def test_an_import_into_a_store_in_use_keeps_what_is_newer_there(open_store: OpenStore) -> None:
    source, target = open_store("embedded"), open_store("elastic")
    old, gone = told("1"), told("2")
    source.write([old, gone, told("3", OTHER)])
    newer = replace(old, version=old.version + 1, model="newer")
    target.write([newer, retraction(gone)])
    copy(source.dump(), target)
    found = held(target)
    assert found.keys() == {old.mention_id, told("3").mention_id}
    assert found[old.mention_id].model == "newer"


@pytest.mark.parametrize("kind", ["embedded", "elastic"])
def test_a_store_is_exported_while_it_is_written_to(open_store: OpenStore, tmp_path: Path, kind: str) -> None:
    source, target = open_store(kind), open_store("embedded")
    first = [mention(f"a{number}") for number in range(400)]
    source.write(first)
    source.refresh()
    seen = 0
    for piece in source.dump():
        if isinstance(piece, Mention):
            seen += 1
            if seen == 10:
                # What goes during the export is told at its end.
                source.write([retraction(first[3]), mention("late")])
        copy([piece], target)
    assert held(target).keys() - {mention("late").mention_id} == {
        one.mention_id for one in first if one is not first[3]
    }


def test_of_two_exports_to_one_name_at_once_one_has_it_whole(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store("embedded")
    store.write([told(str(number)) for number in range(5)])
    file = tmp_path / "export.jsonl"

    def meanwhile() -> Iterator[Piece]:
        yield from store.dump()
        # Another begins and ends while this one is at its last piece.
        write_export(store.dump(), file)

    with pytest.raises(ConfigError, match="exists: nothing is overwritten"):
        write_export(meanwhile(), file)
    assert list(read_export(file)) == list(store.dump())
    assert list(tmp_path.glob("export*")) == [file]


def test_what_a_store_refuses_is_told_by_its_place_and_all_else_goes_in(open_store: OpenStore, tmp_path: Path) -> None:
    good, other = told("1"), told("2", OTHER)
    wrong = [replace(told("3"), version=-5), replace(told("4"), mention_id="")]
    write_export([good, wrong[0], other, wrong[1]], tmp_path / "export.jsonl")
    answers = []
    for kind in ("embedded", "elastic"):
        store = open_store(kind)
        copied = copy(read_export(tmp_path / "export.jsonl"), store)
        assert held(store).keys() == {good.mention_id, other.mention_id}
        assert copied.stored == 2
        answers.append([(one.number, one.record, str(one.error)) for one in copied.refused])
    assert answers[0] == answers[1]
    assert [(number, record) for number, record, _ in answers[0]] == [(2, wrong[0]), (4, wrong[1])]


DOCUMENTS = ("sqlite", "elastic")


@pytest.fixture
def open_kept(tmp_path: Path, prefix: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Documents]]:
    """Open documents of a kind of store, of which there are none yet."""
    opened: list[Documents] = []
    prefixes: list[str] = []

    def open_it(kind: str) -> Documents:
        where: tuple[str, ...] = ("sqlite", str(tmp_path / f"kept{len(opened)}.db"))
        if kind == "elastic":
            url = request.getfixturevalue("elastic_server").url
            prefixes.append(f"{prefix}d{len(opened)}-")
            set_up_documents(url, prefixes[-1])
            where = ("elastic", url, prefixes[-1])
        opened.append(open_documents(where))
        return opened[-1]

    yield open_it
    for documents in opened:
        documents.close()
    for own in prefixes:
        wipe(settings_for(request.getfixturevalue("elastic_server").url, own))


@pytest.mark.parametrize("from_kind", DOCUMENTS)
@pytest.mark.parametrize("to_kind", DOCUMENTS)
def test_documents_of_alerts_come_along_and_what_is_there_stays(
    open_kept: Callable[[str], Documents], open_store: OpenStore, tmp_path: Path, from_kind: str, to_kind: str
) -> None:
    source, target, store = open_kept(from_kind), open_kept(to_kind), open_store("embedded")
    body = {"who": "Ann Öst", "since": None, "deep": {"n": [1, 2.5, True]}}
    source.apply([Change("alert", f"{n:05d}", {"n": n}) for n in range(1_203)])
    source.apply([Change("recipient", "ann", body), Change("recipient", "bob", {"consent": "left"})])
    source.apply([Change("outbox", "m1", {"to": "ann"}), Change("key", "links", {"key": "a secret"})])
    target.apply([Change("recipient", "bob", {"consent": "confirmed"})])
    file = tmp_path / "export.jsonl.gz"
    written = write_export(chain(store.dump(), dump_documents(source, ("alert", "recipient"))), file)
    assert written.documents == 1_205
    copied = copy(read_export(file), store, documents=target)
    assert (copied.documents, copied.stored, copied.known) == (1_205, 1_204, 1)
    assert {one.doc_id: one.body for one in target.scan("recipient")} == {"ann": body, "bob": {"consent": "confirmed"}}
    assert [one.body for one in dump_documents(target, ["alert"])] == [{"n": n} for n in range(1_203)]
    assert [*target.scan("outbox"), *target.scan("key")] == []
    again = copy(read_export(file), store, documents=target)
    assert (again.stored, again.known) == (0, 1_205)


def test_an_export_from_before_there_were_alerts_is_read(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store("embedded")
    store.write([told("1")])
    file = tmp_path / "export.jsonl"
    write_export(store.dump(), file)
    file.write_bytes(file.read_bytes().replace(b'"format":2', b'"format":1'))
    assert list(read_export(file)) == list(store.dump())


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"document","kind":"alert","id":"a b","body":{}}',
        b'{"type":"document","kind":"Alert","id":"a","body":{}}',
        b'{"type":"document","kind":"alert","body":{}}',
        b'{"type":"document","kind":"alert","id":7,"body":{}}',
        b'{"type":"document","kind":"alert","id":"a","body":[1]}',
        b'{"type":"document","kind":"alert","id":"a"}',
    ],
)
def test_a_document_that_is_none_is_said_with_its_line(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "export.jsonl"
    end = b'{"type":"end","pieces":1}'
    file.write_bytes(b"\n".join([b'{"type":"soundings_export","format":2}', line, end, b""]))
    with pytest.raises(ConfigError, match=r"line 2: .*found"):
        list(read_export(file))


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda raw: raw[: len(raw) // 2],
    "no gzip": lambda raw: raw[20:],
    "a damaged block": lambda raw: raw[:200] + bytes([raw[200] ^ 0xFF]) + raw[201:],
    "a number too large": lambda raw: gzip.compress(
        re.sub(rb'"at_ms":[0-9]+', b'"at_ms":9223372036854775808', gzip.decompress(raw))
    ),
    "no end": lambda raw: gzip.compress(b"\n".join(gzip.decompress(raw).splitlines()[:-1]) + b"\n"),
    "a line missing": lambda raw: gzip.compress(
        b"".join(line for at, line in enumerate(gzip.decompress(raw).splitlines(keepends=True)) if at != 2)
    ),
    "something else": lambda raw: gzip.compress(b'{"some":"json"}\n'),
    "newer": lambda raw: gzip.compress(gzip.decompress(raw).replace(b'"format":2', b'"format":3')),
    "a broken line": lambda raw: gzip.compress(gzip.decompress(raw).replace(b'"version"', b'"verzion"')),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_export_is_said_to_be_broken(open_store: OpenStore, tmp_path: Path, how: str) -> None:
    store = open_store("embedded")
    store.write([told(str(number)) for number in range(5)])
    file = tmp_path / "export.jsonl.gz"
    write_export(store.dump(), file)
    file.write_bytes(BROKEN[how](file.read_bytes()))
    with pytest.raises(ConfigError, match=r"export\.jsonl\.gz"):
        list(read_export(file))


# --- backup of the embedded store


def test_a_backup_made_while_writing_is_a_store_as_it_was_at_one_moment(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "store")
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            store.write([told(f"{written}-{number}") for number in range(20)])
            written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while written < 5:
            threading.Event().wait(0.01)
        (tmp_path / "restored").mkdir()
        copy_database(tmp_path / "store" / TRUTH_FILE, tmp_path / "restored" / TRUTH_FILE)
        after = written
    finally:
        stop.set()
        thread.join()
    store.close()
    restored = EmbeddedStore.open(tmp_path / "restored")
    count = restored.count()
    assert count % 20 == 0
    assert 5 * 20 <= count <= (after + 1) * 20
    assert restored.search(SearchRequest(limit=1)).total == count
    one = told("0-0")
    found = restored.get(one.mention_id)
    assert found is not None
    assert found.story_id is not None
    story = restored.story(found.story_id)
    assert story is not None
    assert story.posts == count
    assert restored.write([one]) == [Written.SUPERSEDED]
    restored.close()


def test_a_copy_of_a_database_overwrites_nothing(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "store")
    store.write([mention()])
    with pytest.raises(ConfigError, match="exists"):
        copy_database(tmp_path / "store" / TRUTH_FILE, tmp_path / "store" / TRUTH_FILE)
    with pytest.raises(ConfigError, match="no file"):
        copy_database(tmp_path / "nowhere", tmp_path / "other")
    store.close()


# --- a new template


@pytest.fixture
def elastic_store(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticStore]:
    store = open_elastic(elastic_server.url, prefix)
    yield store
    store.close()
    wipe(settings_for(elastic_server.url, prefix))


def migrate(store: ElasticStore, elastic_server: ElasticServer, prefix: str) -> Sequence[str]:
    settings = settings_for(elastic_server.url, prefix)
    return elastic_migrate.migrate(store.elastic, store.bulk, settings, every=True)


def test_a_migration_moves_each_month_and_loses_nothing(
    elastic_store: ElasticStore, elastic_server: ElasticServer, prefix: str
) -> None:
    records = [*busy_day(6, like_a_log=True)[:120], mention("old", routing_month="2025.12")]
    elastic_store.write(records)
    before = held(elastic_store)
    for number in (2, 3):
        lines = migrate(elastic_store, elastic_server, prefix)
        assert [line for line in lines if f"2026.03-{number}" in line]
        assert [line for line in lines if f"2025.12-{number}" in line]
        assert held(elastic_store) == before
        assert {one: elastic_store.get(one) for one in before} == before
        # Writers go on under the name that they know.
        assert set(elastic_store.write(records)) == {Written.SUPERSEDED}
    edited = next(one for one in before.values() if one.routing_month == "2026.03")
    newer = replace(edited, version=edited.version + 1, model="newer")
    assert elastic_store.write([newer, withdrawal(mention("old"))]) == [Written.STORED, Written.STORED]
    found = held(elastic_store)
    assert found[edited.mention_id].model == "newer"
    assert mention("old").mention_id not in found
    assert elastic_store.drop_months(mention().collected_at).keys() == {"2025.12"}


def test_a_migration_beside_a_writer_loses_nothing(
    elastic_store: ElasticStore, elastic_server: ElasticServer, prefix: str
) -> None:
    first = [mention(f"a{number}") for number in range(300)]
    elastic_store.write(first)
    writer = ElasticStore.open(settings_for(elastic_server.url, prefix))
    stop = threading.Event()
    written: list[Mention] = []
    gone: list[Mention] = []

    def write() -> None:
        while not stop.is_set() and len(written) < 3_000:
            batch = [mention(f"b{len(written)}-{number}") for number in range(10)]
            lost = first[len(gone)]
            writer.write([*batch, retraction(lost)])
            written.extend(batch)
            gone.append(lost)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        migrate(elastic_store, elastic_server, prefix)
    finally:
        stop.set()
        thread.join()
    expected = {one.mention_id for one in [*first, *written]} - {one.mention_id for one in gone}
    assert gone
    assert elastic_store.count() == len(expected)
    missing = [one for one in expected if elastic_store.get(one) is None]
    assert missing == []
    writer.close()


def test_what_a_migration_that_was_cut_off_left_is_removed_by_the_next(
    elastic_store: ElasticStore, elastic_server: ElasticServer, prefix: str
) -> None:
    one, other = mention("1"), mention("2")
    elastic_store.write([one, other])
    leftover = f"{prefix}mentions-2026.03-2"
    elastic_store.elastic.ask("PUT", f"/{leftover}", {})
    remove = {"remove": {"index": leftover, "alias": f"{prefix}mentions"}}
    elastic_store.elastic.ask("POST", "/_aliases", {"actions": [remove]})
    elastic_store.elastic.ask("PUT", f"/{leftover}/_doc/stray", {"mention_id": "stray"})
    migrate(elastic_store, elastic_server, prefix)
    assert held(elastic_store) == {one.mention_id: one, other.mention_id: other}
