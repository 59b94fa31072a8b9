"""The command line and a file of posts, fresh for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.command_line import PATIENCE_SECONDS, Soundings, make_posts, make_soundings, write_posts


@pytest.fixture
def soundings(tmp_path: Path) -> Iterator[Soundings]:
    """The command line over an empty data folder."""
    made = make_soundings(tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


@pytest.fixture
def another(tmp_path_factory: pytest.TempPathFactory) -> Soundings:
    """A second one, apart from the first."""
    return make_soundings(tmp_path_factory.mktemp("another"))


@pytest.fixture
def posts_file(tmp_path: Path) -> Path:
    """A small file of posts."""
    return write_posts(tmp_path / "posts.jsonl", make_posts(300))
