"""What a post has earned by a moment: likes, reposts, replies and views, as its source counts them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

# Every store holds a number in 63 bits and a sign.
MAX_COUNT = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """The numbers of one post, all as of `at`; what its source does not tell is None, never 0.

    Raises:
        ValueError: a number is not in [0, MAX_COUNT], or `at` has no time zone.
    """

    at: datetime
    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None
    views: int | None = None

    def __post_init__(self) -> None:
        for value in (self.likes, self.reposts, self.replies, self.views):
            if value is not None and not 0 <= value <= MAX_COUNT:
                raise ValueError(f"found the number {value}, expected one in [0, {MAX_COUNT}]")
        if self.at.tzinfo is None:
            raise ValueError(f"expected an aware time, found the naive {self.at!r}")

    @property
    def tells(self) -> bool:
        """Tell whether it holds any number."""
        return not self.likes is self.reposts is self.replies is self.views is None


def count_of(value: object) -> int | None:
    """Give what a source says as a number, None where it is none that can be counted."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return value if fits and isinstance(value, int) else None
