"""The worker loop: polls, calls a stage, settles; with retry, parking and the books."""

from __future__ import annotations

from stream.stage import Handled, Stage

__all__ = ["Handled", "Stage"]
