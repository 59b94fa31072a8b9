"""What integration tests share."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from fakes.alert_world import CRISIS, AlertWorld


@pytest.fixture(scope="session")
def quiet_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two quiet weeks of two brands, stored and looked at once; each test begins with a copy."""
    folder = tmp_path_factory.mktemp("quiet")
    with closing(AlertWorld(folder)) as made:
        made.history()
        made.look(CRISIS)
    return folder
