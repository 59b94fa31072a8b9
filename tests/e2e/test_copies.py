"""A data folder backed up, restored, exported and imported, while it is in use: all of it is there, nothing twice."""

from __future__ import annotations

import gzip
import json
import signal
import stat
from pathlib import Path
from typing import Any

from e2e.command_line import Soundings, make_posts, write_posts


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


def test_a_restore_that_was_cut_off_leaves_no_half_of_a_folder(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    soundings.replay(write_posts(tmp_path / "posts.jsonl", make_posts(150)))
    assert soundings.run("backup", str(tmp_path / "backup")).returncode == 0
    # What a kill leaves behind.
    left = another.data.with_name(f"{another.data.name}.restoring")
    left.mkdir()
    (left / "log.sqlite").write_bytes(b"half of it")
    assert another.run("restore", str(tmp_path / "backup")).returncode == 0
    assert not left.exists()
    assert found(another) == found(soundings)


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
