"""These tests need the extra `torch`; `make test-torch` installs it and runs them. Without it there are none."""

from __future__ import annotations

from fakes.hugging_face import TORCH_IS_HERE

collect_ignore_glob = [] if TORCH_IS_HERE else ["test_*.py"]
