"""`python -m deploy.kibana` writes soundings.ndjson from the descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.kibana.marketing import ALL_MENTIONS, MARKETING, NOT_JUDGED
from deploy.kibana.objects import ndjson
from deploy.kibana.operations import OPERATIONS

OBJECTS: Final = Path(__file__).with_name("soundings.ndjson")


def written() -> str:
    """Give what `OBJECTS` must hold."""
    return ndjson((MARKETING, OPERATIONS), (ALL_MENTIONS, NOT_JUDGED))


if __name__ == "__main__":
    OBJECTS.write_text(written(), encoding="utf-8")
