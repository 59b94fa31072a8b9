"""The embedded store after crashes, damage and upgrades, and seen from a second process."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from fakes.mentions import START, many_mentions, mention, retraction, withdrawal

from domain.aggregation import Buckets, Distinct, DistinctResult, Terms
from domain.errors import BackendDown, Busy, ConfigError, RetryLater
from domain.query import parse
from domain.query.ast import And, Everything, Keyword, Words
from domain.records import AuthorRetraction, Mention
from enrich.signature import signature
from search.embedded import TRUTH_FILE, EmbeddedStore
from search.store import SearchRequest, Written
from search.truth import Truth

ROOT = Path(__file__).resolve().parents[3]

# Writes, edits and removes without end, and says after each batch how far it is.
WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from fakes.mentions import mention, retraction, withdrawal
from search.embedded import EmbeddedStore

store = EmbeddedStore.open(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    fresh = [mention(f"n{number + index}", text=f"word{number + index}") for index in range(50)]
    store.write(fresh)
    edited = [replace(one, version=one.version + 1, text="edited", tokens="edited") for one in fresh[:10]]
    store.write([*edited, *map(withdrawal, fresh[20:25]), *map(retraction, fresh[30:35])])
    number += 50
    print(number, flush=True)
"""

# Writes until the small disk that it makes for itself is full.
FILLER = """
import subprocess, sys
from pathlib import Path
from domain.errors import BackendDown
from fakes.mentions import many_mentions
from search.tantivy_index import TantivyIndex

subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", sys.argv[1]], check=True)
index = TantivyIndex(Path(sys.argv[1]) / "index", create=True)
try:
    for row, one in enumerate(many_mentions(5_000)):
        index.replace(row, one, seen_before=False)
        if row % 100 == 99:
            index.commit()
except BackendDown as exc:
    print(exc)
"""

REMOVED = frozenset((*range(20, 25), *range(30, 35)))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; a test that waits for ever is ended by its runner."""
    while not condition():
        threading.Event().wait(0.01)


def everything(store: EmbeddedStore) -> list[Mention]:
    found: list[Mention] = []
    cursor = None
    while True:
        page = store.search(SearchRequest(cursor=cursor, limit=500))
        found += page.mentions
        cursor = page.next_cursor
        if cursor is None:
            return found


def truth_of(folder: Path) -> set[str]:
    with sqlite3.connect(folder / "mentions.sqlite3") as connection:
        rows = connection.execute("SELECT mention_id FROM mention WHERE json IS NOT NULL").fetchall()
    connection.close()
    return {row[0] for row in rows}


def assert_index_is_truth(store: EmbeddedStore, folder: Path) -> None:
    store.refresh()
    found = everything(store)
    ids = [one.mention_id for one in found]
    assert len(ids) == len(set(ids)) == store.count()
    assert set(ids) == truth_of(folder)
    for one in found[:: max(1, len(found) // 20)]:
        node = And((Words(tuple(one.tokens.split(" "))), Keyword("mention_id", one.mention_id)))
        assert store.search(SearchRequest(node=node)).mentions == (one,)


def index_folder(folder: Path) -> Path:
    (only,) = folder.glob("index-*")
    return only


def filled(folder: Path, number: int = 200) -> list[Mention]:
    mentions = many_mentions(number)
    store = EmbeddedStore.open(folder)
    store.write(mentions)
    store.close()
    return mentions


def test_killed_at_any_moment_the_index_catches_up_with_the_truth(tmp_path: Path) -> None:
    draw = random.Random(20)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    written = 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(written)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            # The first line comes before the first commit or after it: both happen.
            for _ in range(draw.randint(1, 40)):
                written = int(process.stdout.readline())
            threading.Event().wait(draw.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            written = max([written, *map(int, process.stdout.read().split())])
        store = EmbeddedStore.open(tmp_path)
        assert_index_is_truth(store, tmp_path)
        store.close()
        # What was acknowledged is there; of the batch that was cut off anything may be. The next run repeats it.
        acknowledged = {mention(f"n{index}").mention_id for index in range(written) if index % 50 not in REMOVED}
        cut_off = {mention(f"n{written + index}").mention_id for index in range(50)}
        assert acknowledged <= truth_of(tmp_path) <= acknowledged | cut_off


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda index: shutil.rmtree(index), id="missing"),
        pytest.param(lambda index: (index / "meta.json").write_text("{", encoding="utf-8"), id="meta is not JSON"),
        pytest.param(lambda index: (index / "meta.json").unlink(), id="no meta"),
        pytest.param(lambda index: [path.write_bytes(b"") for path in index.glob("*.term")], id="emptied files"),
        pytest.param(lambda index: [path.unlink() for path in index.glob("*.idx")], id="lost files"),
        pytest.param(lambda index: [path.write_bytes(b"x" * 999) for path in index.glob("*.fast")], id="garbage"),
    ],
)
def test_a_damaged_index_is_built_again(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    mentions = filled(tmp_path)
    before = index_folder(tmp_path)
    harm(before)
    told: list[tuple[int, int]] = []
    store = EmbeddedStore.open(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert_index_is_truth(store, tmp_path)
    assert store.search(SearchRequest()).total == len(mentions)
    assert told[-1] == (len(mentions), len(mentions))
    assert index_folder(tmp_path) != before
    store.close()


def test_an_index_that_lost_mentions_is_built_again(tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / "mentions.sqlite3") as connection:
        row = connection.execute("SELECT max(seq) FROM mention").fetchone()[0]
        connection.execute("UPDATE mention SET json = NULL WHERE seq = ?", (row,))
        connection.execute("UPDATE fact SET value = value - 1 WHERE name = 'live'")
    connection.close()
    store = EmbeddedStore.open(tmp_path)
    assert_index_is_truth(store, tmp_path)
    store.close()


def test_an_index_of_another_schema_is_built_again(tmp_path: Path) -> None:
    filled(tmp_path)
    before = index_folder(tmp_path)
    with sqlite3.connect(tmp_path / "mentions.sqlite3") as connection:
        connection.execute("UPDATE fact SET value = 1 WHERE name = 'index_schema'")
    connection.close()
    store = EmbeddedStore.open(tmp_path)
    assert_index_is_truth(store, tmp_path)
    assert index_folder(tmp_path) != before
    store.close()


def test_a_build_that_was_cut_off_leaves_nothing_behind(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "index-7").mkdir()
    (tmp_path / "index-7" / "half").write_bytes(b"half")
    store = EmbeddedStore.open(tmp_path)
    assert [path.name for path in tmp_path.glob("index-*")] == ["index-1"]
    store.close()


def test_reindex_builds_anew_while_others_write_and_search(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path)
    mentions = many_mentions(3000)
    store.write(mentions)
    store.refresh()
    late = [replace(one, version=one.version + 1, text="late", tokens="late") for one in mentions[:300]]
    fresh = [mention(f"fresh{index}") for index in range(300)]
    writer = threading.Thread(
        target=lambda: [store.write([one, other]) for one, other in zip(late, fresh, strict=True)]
    )
    writer.start()
    told: list[tuple[int, int]] = []
    store.reindex(lambda done, total: told.append((done, total)))
    writer.join()
    assert told
    assert_index_is_truth(store, tmp_path)
    assert store.search(SearchRequest(node=parse("late"))).total >= 300
    store.close()


def test_a_second_writer_is_told_who_is_in_the_way(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path)
    with pytest.raises(Busy, match="another process writes to"):
        EmbeddedStore.open(tmp_path)
    store.close()
    EmbeddedStore.open(tmp_path).close()


def test_a_reader_sees_what_the_writer_commits(tmp_path: Path) -> None:
    writer = EmbeddedStore.open(tmp_path)
    reader = EmbeddedStore.open(tmp_path, read_only=True)
    assert reader.search(SearchRequest()).total == 0
    one, other = mention("1"), mention("2")
    writer.write([one, other])
    wait_until(lambda: reader.search(SearchRequest()).total == 2)
    assert reader.get(one.mention_id) == one
    writer.write([retraction(one)])
    assert reader.search(SearchRequest()).mentions == (other,)
    reader.refresh()
    assert reader.search(SearchRequest()).total == 1
    writer.close()
    assert reader.count() == 1
    reader.close()


def test_what_went_before_the_writer_was_killed_is_not_counted_by_a_reader(tmp_path: Path) -> None:
    kept = [mention(f"n{number}", text="acme", source="x" if number % 2 else "rss") for number in range(9)]
    with closing(EmbeddedStore.open(tmp_path)) as store:
        store.write(kept)
        store.refresh()
    # A kill between the transaction and the index: the index still holds all nine.
    truth = Truth(tmp_path / TRUTH_FILE, read_only=False)
    truth.apply([*map(retraction, kept[:6]), withdrawal(kept[6])], START)
    truth.close()
    with closing(EmbeddedStore.open(tmp_path, read_only=True)) as reader:
        for node in (Everything(), Words(("acme",))):
            page = reader.search(SearchRequest(node, limit=1))
            assert (page.total, len(page.mentions)) == (2, 1)
            rest = reader.search(SearchRequest(node, cursor=page.next_cursor))
            assert (rest.total, len(rest.mentions), rest.next_cursor) == (2, 1, None)
        found = reader.aggregate(Everything(), {"by": Terms("source", 5), "posts": Distinct("post_id")})
        assert sum(bucket.count for bucket in cast(Buckets, found["by"]).buckets) == 2
        assert cast(DistinctResult, found["posts"]).count == 2


def test_a_reader_follows_the_writer_into_a_new_index(tmp_path: Path) -> None:
    writer = EmbeddedStore.open(tmp_path)
    writer.write(many_mentions(100))
    writer.refresh()
    reader = EmbeddedStore.open(tmp_path, read_only=True)
    assert reader.search(SearchRequest()).total == 100
    writer.reindex()
    writer.write([mention("new")])
    writer.refresh()
    # The folder that the reader has open is gone; searches never fail meanwhile.
    wait_until(lambda: reader.search(SearchRequest()).total == 101)
    writer.close()
    reader.close()


def test_a_reader_of_another_schema_waits_for_the_writer(tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / "mentions.sqlite3") as connection:
        connection.execute("UPDATE fact SET value = 1 WHERE name = 'index_schema'")
    connection.close()
    reader = EmbeddedStore.open(tmp_path, read_only=True)
    with pytest.raises(RetryLater, match="being built"):
        reader.search(SearchRequest())
    writer = EmbeddedStore.open(tmp_path)
    reader.refresh()
    assert reader.search(SearchRequest()).total == 200
    writer.close()
    reader.close()


def test_a_reader_says_when_nothing_is_there_yet(tmp_path: Path) -> None:
    with pytest.raises(BackendDown, match="there is no store"):
        EmbeddedStore.open(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_reader_does_not_write(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    reader = EmbeddedStore.open(tmp_path, read_only=True)
    with pytest.raises(ValueError, match="reading only"):
        reader.write([mention()])
    with pytest.raises(ValueError, match="reading only"):
        reader.reindex()
    reader.close()


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    with sqlite3.connect(tmp_path / "mentions.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(ConfigError, match="schema 99"):
            EmbeddedStore.open(tmp_path, read_only=read_only)


def test_a_folder_from_before_there_were_stories_goes_on(tmp_path: Path) -> None:
    text = "The crew lost my bag in Denver and nobody at the counter cared"
    old, new = (mention(native_id, text=text) for native_id in "12")
    new = replace(new, signature=signature(new.tokens, new.domains).pack())
    store = EmbeddedStore.open(tmp_path)
    store.write([old])
    store.close()
    with sqlite3.connect(tmp_path / "mentions.sqlite3") as connection:
        connection.executescript("DROP TABLE story_post; DROP TABLE story_key; PRAGMA user_version = 1")
    connection.close()
    reader = EmbeddedStore.open(tmp_path, read_only=True)
    assert reader.search(SearchRequest()).mentions == (old,)
    assert (reader.get(old.mention_id), reader.story("any")) == (old, None)
    store = EmbeddedStore.open(tmp_path)
    other_brand = replace(new, mention_id="other", brand_id="globex", post_id=old.post_id)
    store.write([new])
    assert store.get(old.mention_id) == old
    store.write([other_brand])
    assert_index_is_truth(store, tmp_path)
    told = store.get(new.mention_id)
    assert told is not None
    assert told.story_id is not None
    # The reader sees them as soon as a writer made them; a post's new mention brings its old one along.
    assert reader.get(new.mention_id) == told
    assert reader.get(old.mention_id) == replace(old, story_id=told.story_id)
    story = reader.story(told.story_id)
    assert story is not None
    assert (story.posts, story.mentions) == (2, 3)
    store.close()
    reader.close()


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "mentions.sqlite3").write_bytes(b"not a database at all" * 100)
    with pytest.raises(BackendDown, match="damaged"):
        EmbeddedStore.open(tmp_path)


def test_a_full_disk_fails_the_batch_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own page limit stands in for the disk: the error is the same."""
    store = EmbeddedStore.open(tmp_path)
    kept = many_mentions(100)
    store.write(kept)
    connection = store._truth._writer
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    more = [mention(f"more{index}", text="long " * 500) for index in range(50)]
    with pytest.raises(BackendDown, match="disk"):
        store.write(more)
    connection.execute("PRAGMA max_page_count = 1073741823")
    assert store.count() == len(kept)
    assert set(store.write(more)) == {Written.STORED}
    assert_index_is_truth(store, tmp_path)
    store.close()


def test_a_retracted_text_is_nowhere_in_the_truths_file(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path)
    one = mention(text="a very unusual sentence " * 50)
    store.write([one, mention("2")])
    store.write([retraction(one)])
    store.close()
    assert b"very unusual sentence" not in (tmp_path / "mentions.sqlite3").read_bytes()


def test_a_folder_from_before_authors_could_go_finds_what_they_wrote(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path)
    theirs = [mention(str(number), author_id="Ann") for number in range(3)]
    store.write([*theirs, mention("4", author_id="Bob"), mention("5"), retraction(mention("6"))])
    store.close()
    with closing(sqlite3.connect(tmp_path / "mentions.sqlite3")) as connection:
        for table in ("author_tombstone", "restoration", "mention_author", "retraction"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 2")
        connection.commit()
    reader = EmbeddedStore.open(tmp_path, read_only=True)
    assert (list(reader.retractions()), reader.retracted_at("x:6") is None, reader.count()) == ([], False, 5)
    store = EmbeddedStore.open(tmp_path)
    assert reader.retracted_at("x:6") is not None
    at = START + timedelta(days=1)
    gone = AuthorRetraction(author_key="x:Ann", source="x", retracted_at=at, asked_at=at)
    assert store.write([gone, theirs[0], mention("6")])[1:] == [Written.SUPERSEDED, Written.SUPERSEDED]
    assert (store.count(), [row.mentions for row in reader.retractions()]) == (2, [3])
    assert_index_is_truth(store, tmp_path)
    reader.close()
    store.close()


def test_an_unused_store_closes_and_reopens(tmp_path: Path) -> None:
    EmbeddedStore.open(tmp_path).close()
    store = EmbeddedStore.open(tmp_path)
    assert store.aggregate(Everything(), {}) == {}
    assert store.write([withdrawal(mention())]) == [Written.STORED]
    store.refresh()
    assert store.search(SearchRequest()).total == 0
    store.close()


def test_an_index_on_a_full_disk_asks_for_room_and_not_to_be_built_again(tmp_path: Path) -> None:
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*own_mounts, "true"], check=False).returncode:
        pytest.skip("a small disk needs a mount namespace, which this machine does not allow")
    done = subprocess.run(
        [*own_mounts, sys.executable, "-c", FILLER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("no room left for the search index")
    assert "reindex" not in done.stdout
