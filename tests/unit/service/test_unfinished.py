"""A folder that is made beside its name: whole or not there, one maker at a time, nothing of others touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import Busy, ConfigError
from service.unfinished import unfinished


def test_it_is_there_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with unfinished(target) as folder:
        folder.log.write_text("all of it")
        assert not target.exists()
    assert (target / "log.sqlite").read_text() == "all of it"
    assert list(tmp_path.iterdir()) == [target]


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    def fail() -> None:
        with unfinished(tmp_path / "made") as folder:
            folder.store.mkdir()
            (folder.store / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_make_the_same_at_once(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with unfinished(target) as folder:
        folder.log.write_text("the first")
        with pytest.raises(Busy, match="another Soundings process is writing it"), unfinished(target):
            pass
    assert (target / "log.sqlite").read_text() == "the first"


def test_what_was_put_there_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "made"

    def make() -> None:
        with unfinished(target) as folder:
            folder.log.touch()
            target.mkdir()
            (target / "novel.txt").write_text("chapter 1")

    with pytest.raises(ConfigError, match="nothing is overwritten"):
        make()
    assert [path.name for path in target.iterdir()] == ["novel.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    with unfinished(tmp_path / "link") as folder:
        folder.log.touch()
    assert (tmp_path / "empty" / "log.sqlite").exists()


def test_a_mount_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mount point"), unfinished(Path("/")):
        pass
