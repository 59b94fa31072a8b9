"""One writer per data folder; its disk keeps room."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import BackendDown, Busy, ConfigError
from service.data_folder import DataFolder, FolderLock, free_megabytes, require_room


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    with FolderLock.take(folder):
        assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with FolderLock.take(folder), pytest.raises(Busy, match=r"in use by another Soundings process \(process \d+\)"):
        FolderLock.take(folder)
    FolderLock.take(folder).release()


def test_the_lock_lives_on_in_a_child_that_inherited_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    lock = FolderLock.take(folder)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,))
    lock.release()
    with pytest.raises(Busy):
        FolderLock.take(folder)
    child.communicate(b"\n")
    FolderLock.take(folder).release()


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(ConfigError, match="found a file, expected a folder"):
        FolderLock.take(DataFolder(place))
    with pytest.raises(ConfigError, match="cannot be made"):
        FolderLock.take(DataFolder(place / "inside"))


def test_an_empty_folder_is_no_data_to_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no Soundings data"):
        DataFolder(tmp_path).require()


def test_below_the_floor_reading_stops_with_what_to_do(tmp_path: Path) -> None:
    require_room(tmp_path, 0)
    assert free_megabytes(tmp_path) > 0
    require_room(tmp_path, 200, free=lambda root: 200)
    with pytest.raises(BackendDown, match=r"199 MB free .* expected at least 200 MB .* run the same command again"):
        require_room(tmp_path, 200, free=lambda root: 199)
