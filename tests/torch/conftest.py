"""These tests need the extra `torch`: they are shown as skipped without it, and `make test-torch` runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.hugging_face import TORCH_IS_HERE

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    if not TORCH_IS_HERE:
        for item in items:
            if item.path.is_relative_to(_HERE):
                item.add_marker(pytest.mark.skip(reason="the extra torch is not installed; `make test-torch` has it"))
