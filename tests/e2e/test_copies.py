"""A data folder backed up, restored, exported and imported, while it is in use: all of it is there, nothing twice."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from e2e.command_line import ROOT, Soundings, make_posts, write_posts

from domain.documents import Change
from search.sqlite_documents import SqliteDocuments


def found(soundings: Soundings) -> dict[str, Any]:
    """Give every mention by id, as the search shows it."""
    done = soundings.run("search", "acme OR globexico OR globex", "--json", "--limit", "500")
    assert done.returncode == 0, done.stderr
    return {row["mention_id"]: row for row in json.loads(done.stdout)["mentions"]}


def texts(soundings: Soundings) -> dict[str, str]:
    """Give what each mention says: the time it was collected at may differ."""
    return {mention_id: row["text"] for mention_id, row in found(soundings).items()}


def test_a_backup_is_restored_and_goes_on_where_it_was_made(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    posts = make_posts(300)
    soundings.replay(write_posts(tmp_path / "first.jsonl", posts[:200]))
    before = found(soundings)
    done = soundings.run("backup", str(tmp_path / "backup"))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    assert soundings.run("backup", str(tmp_path / "backup")).returncode == 2
    later = soundings.replay(write_posts(tmp_path / "all.jsonl", posts))

    restored = another.run("restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    assert "cannot" not in restored.stderr
    assert found(another) == before
    books = another.replay(tmp_path / "all.jsonl")
    # The same posts are repeats there, and the same are news.
    assert {name: books[name] for name in ("duplicate", "matched", "stored_total")} == {
        name: later[name] for name in ("duplicate", "matched", "stored_total")
    }
    assert texts(another) == texts(soundings)
    refused = another.run("restore", str(tmp_path / "backup"))
    assert refused.returncode == 2
    assert "not an empty folder" in refused.stderr


def test_what_alerts_keep_goes_along_in_a_backup_and_all_but_its_secrets_in_an_export(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(20)))
    with closing(SqliteDocuments.open(soundings.data / "alerts.db")) as kept:
        kept.apply([Change("silence", "s1", {"why": "a launch"}), Change("key", "links", {"key": "of links"})])
    assert soundings.run("backup", str(tmp_path / "backup")).returncode == 0
    files = sorted(path.name for path in (tmp_path / "backup").iterdir())
    assert files == ["alerts.db", "log.sqlite", "manifest.json", "store"]
    assert another.run("restore", str(tmp_path / "backup")).returncode == 0
    with closing(SqliteDocuments.open(another.data / "alerts.db")) as restored:
        assert [one.body for kind in ("silence", "key") for one in restored.scan(kind)] == [
            {"why": "a launch"},
            {"key": "of links"},
        ]

    export = tmp_path / "export.jsonl"
    assert "1 documents of alerts" in soundings.run("export", str(export)).stdout
    assert "of links" not in export.read_text()
    shutil.rmtree(another.data)
    assert another.run("import", str(export)).returncode == 0
    with closing(SqliteDocuments.open(another.data / "alerts.db")) as imported:
        assert [one.doc_id for one in imported.scan("silence")] == ["s1"]
        assert imported.scan("key") == []


def killed_while_making(target: Path) -> Path:
    """Leave what a backup or restore leaves that is killed half-way; gives its folder."""
    script = (
        "import os, pathlib, signal\n"
        "from service.unfinished import unfinished\n"
        f"with unfinished(pathlib.Path({str(target)!r})) as folder:\n"
        "    folder.log.write_bytes(b'half of it')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    left = target.with_name(f"{target.name}.unfinished")
    assert (left / "log.sqlite").exists()
    assert not target.exists()
    return left


def test_what_a_killed_backup_or_restore_left_is_cleared_by_the_next(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(150)))
    left = [killed_while_making(tmp_path / "backup"), killed_while_making(another.data)]
    assert soundings.run("backup", str(tmp_path / "backup")).returncode == 0
    assert another.run("restore", str(tmp_path / "backup")).returncode == 0
    assert [folder for folder in left if folder.exists()] == []
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["log.sqlite", "manifest.json", "store"]
    assert found(another) == found(soundings)


def test_what_is_not_ours_is_not_cleared(soundings: Soundings, tmp_path: Path) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(20)))
    theirs = tmp_path / "backup.unfinished" / "novel.txt"
    theirs.parent.mkdir()
    theirs.write_text("chapter 1")
    refused = soundings.run("backup", str(tmp_path / "backup"))
    assert refused.returncode == 2
    assert "not left by Soundings" in refused.stderr
    assert theirs.read_text() == "chapter 1"


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def _of_a_newer_program(backup: Path) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["files"]["log.sqlite"]["schema"] += 1
    (backup / "manifest.json").write_text(json.dumps(manifest))


def _of_other_types(backup: Path) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["files"]["log.sqlite"]["bytes"] = "many"
    (backup / "manifest.json").write_text(json.dumps(manifest))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an empty log": (lambda backup: (backup / "log.sqlite").write_bytes(b""), "log.sqlite: found 0 bytes, expected"),
    "an empty store": (lambda backup: (backup / "store/mentions.sqlite3").write_bytes(b""), "found 0 bytes, expected"),
    "no store": (
        lambda backup: (backup / "store/mentions.sqlite3").unlink(),
        "mentions.sqlite3: cannot be read: No such",
    ),
    "a byte of the log": (lambda backup: _flip(backup / "log.sqlite"), "log.sqlite: found SHA-256"),
    "a byte of what alerts keep": (lambda backup: _flip(backup / "alerts.db"), "alerts.db: found SHA-256"),
    "a byte of the store": (lambda backup: _flip(backup / "store/mentions.sqlite3"), "mentions.sqlite3: found SHA-256"),
    "no manifest": (lambda backup: (backup / "manifest.json").unlink(), "holds no manifest.json"),
    "half a manifest": (lambda backup: (backup / "manifest.json").write_bytes(b'{"soundings_ba'), "is damaged"),
    "a manifest of other types": (_of_other_types, "no manifest of a backup"),
    "some other JSON": (lambda backup: (backup / "manifest.json").write_bytes(b"[1]"), "no manifest of a backup"),
    "a newer program": (_of_a_newer_program, "use the version that wrote it"),
}


def test_a_damaged_backup_is_refused_and_leaves_nothing_behind(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(150)))
    SqliteDocuments.open(soundings.data / "alerts.db").close()
    backup = tmp_path / "backup"
    assert soundings.run("backup", str(backup)).returncode == 0
    before = sorted(another.data.parent.iterdir())
    for name, (damage, told) in DAMAGES.items():
        copy = tmp_path / name
        shutil.copytree(backup, copy)
        damage(copy)
        refused = another.run("restore", str(copy))
        assert refused.returncode == 2, (name, refused.stderr)
        assert told in refused.stderr, (name, refused.stderr)
        assert sorted(another.data.parent.iterdir()) == before, name
    # A journal beside a file of the backup is not taken up.
    (backup / "log.sqlite-wal").write_bytes(b"left by somebody")
    assert another.run("restore", str(backup)).returncode == 0
    assert found(another) == found(soundings)


def test_copies_are_not_put_into_what_they_are_copies_of(soundings: Soundings, tmp_path: Path) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(20)))
    before = sorted(soundings.data.iterdir())
    refused = soundings.run("backup", str(soundings.data / "backup"))
    assert refused.returncode == 2
    assert f"lies in {soundings.data}" in refused.stderr
    assert sorted(soundings.data.iterdir()) == before
    assert soundings.run("backup", str(tmp_path / "backup")).returncode == 0
    within = soundings.run("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "backup" / "data"))
    assert within.returncode == 2
    assert "the backup stays as it is" in within.stderr


def test_a_backup_is_made_while_the_pipeline_runs(soundings: Soundings, another: Soundings, tmp_path: Path) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(150)))
    running = soundings.start("up", "--port", "0", "--engine", "tiny")
    soundings.wait_for(lambda: (soundings.data / "control.sock").exists(), "the pipeline")
    done = soundings.run("backup", str(tmp_path / "backup"))
    exported = soundings.run("export", str(tmp_path / "store.gz"))
    busy = soundings.run("import", str(tmp_path / "store.gz"))
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert (done.returncode, exported.returncode) == (0, 0), done.stderr + exported.stderr
    assert busy.returncode == 2
    assert "in use by another Soundings process" in busy.stderr
    assert another.run("restore", str(tmp_path / "backup")).returncode == 0
    assert found(another) == found(soundings)


def test_an_export_is_imported_and_what_is_no_export_is_refused(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(150)))
    file = tmp_path / "store.gz"
    assert soundings.run("export", str(file)).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert soundings.run("export", str(file)).returncode == 2
    whole = gzip.decompress(file.read_bytes())
    for name, content in {
        "cut.gz": gzip.compress(whole[: len(whole) // 2]),
        "damaged.gz": file.read_bytes()[:-200],
        "other.gz": gzip.compress(b"{}\n"),
        "plain.gz": b"no gzip at all",
    }.items():
        (tmp_path / name).write_bytes(content)
        refused = another.run("import", str(tmp_path / name))
        assert refused.returncode == 2, (name, refused.stdout, refused.stderr)
        # Nothing of it is in.
        assert not (another.data / "store").exists(), name
    done = another.run("import", str(file))
    assert done.returncode == 0, done.stderr
    assert found(another) == found(soundings)
    assert "0 stored" in another.run("import", str(file)).stdout


def test_an_export_is_plain_or_gzipped_as_its_name_says_and_goes_to_standard_output(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(50)))
    assert soundings.run("export", str(tmp_path / "store.gz")).returncode == 0
    assert soundings.run("export", str(tmp_path / "store.jsonl")).returncode == 0
    sent = soundings.run("export", "-")
    assert sent.returncode == 0, sent.stderr
    assert "wrote" in sent.stderr
    lines = gzip.decompress((tmp_path / "store.gz").read_bytes()).decode()
    assert (tmp_path / "store.jsonl").read_text() == sent.stdout == lines
    assert another.run("import", str(tmp_path / "store.jsonl")).returncode == 0
    assert found(another) == found(soundings)


def test_where_no_export_can_be_written_or_read_is_told(soundings: Soundings, tmp_path: Path) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(20)))
    for arguments, told in (
        (("export", str(tmp_path / "nowhere" / "x.gz")), "cannot be written: No such file or directory; name a file"),
        (("import", str(tmp_path)), "is no file"),
        (("import", str(tmp_path / "nowhere.gz")), "there is no such file"),
    ):
        refused = soundings.run(*arguments)
        assert refused.returncode == 2, refused.stderr
        assert told in refused.stderr
        assert "Errno" not in refused.stderr


def test_what_a_killed_export_left_is_cleared_by_the_next(soundings: Soundings, tmp_path: Path) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(20)))
    script = (
        "import os, pathlib, signal\n"
        "from search.whole_file import whole_file\n"
        f"with whole_file(pathlib.Path({str(tmp_path / 'store.gz')!r})) as file:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(ROOT)}, check=False)
    assert len(list(tmp_path.glob("store.gz.*"))) == 1
    theirs = tmp_path / "store.gz.partial"
    theirs.touch()
    assert soundings.run("export", str(tmp_path / "store.gz")).returncode == 0
    assert sorted(tmp_path.glob("store.gz*")) == [tmp_path / "store.gz", theirs]


def test_a_record_that_no_store_can_hold_is_refused_with_its_line(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(50)))
    assert soundings.run("export", str(tmp_path / "store.jsonl")).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "store.jsonl").read_text().splitlines()]
    first, second = [number for number, line in enumerate(lines) if line["type"] == "mention"][3:5]
    wrong = [lines[first]["mention_id"], lines[second]["mention_id"]]
    lines[first]["version"] = -5
    lines[second]["mention_id"] = ""
    (tmp_path / "wrong.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = another.run("import", str(tmp_path / "wrong.jsonl"))
    assert done.returncode == 1
    assert f"wrong.jsonl, line {first + 1}: mention '{wrong[0]}' of post" in done.stderr
    assert "version is -5, expected 0 or more" in done.stderr
    assert f"wrong.jsonl, line {second + 1}: mention '' of post" in done.stderr
    assert found(another).keys() == found(soundings).keys() - set(wrong)
