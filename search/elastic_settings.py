"""Where Elasticsearch is, how it is talked to, and what our indices are called there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PREFIX: Final = "soundings-"
# Twelve hundred names and no others: what a record says never becomes a name as it is.
_MONTH: Final = re.compile(r"20[0-9]{2}\.(?:0[1-9]|1[0-2])", re.ASCII)
# A month that was migrated lies in an index with a number, and keeps its name as an alias.
_INDEX: Final = re.compile(r"(20[0-9]{2}\.(?:0[1-9]|1[0-2]))(?:-([0-9]{1,9}))?", re.ASCII)
# Elasticsearch wants lower case, and 255 bytes at most; the rest is so that a prefix cannot hold a pattern.
_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ElasticSettings:
    """How to reach Elasticsearch and use it; one of `api_key` and `user` with `password`, or none of them.

    `ca_file` names certificates to trust beside the system's. `retry_seconds` is how long a write tries by itself
    before it says `RetryLater`. A bulk has at most `bulk_bytes`, and `bulks_in_flight` are sent at once.
    """

    hosts: tuple[str, ...] = ("http://127.0.0.1:9200",)
    api_key: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    verify_certificates: bool = True
    prefix: str = DEFAULT_PREFIX
    request_timeout_seconds: float = 30.0
    retry_seconds: float = 30.0
    # Two of 4 MB hold a node of 1 GB of heap at a twelfth of what it refuses beyond.
    bulk_bytes: int = 4_000_000
    bulks_in_flight: int = 2
    # How soon what was written is found; each refresh makes a small segment to merge.
    refresh_seconds: float = 1.0
    replicas: int = 1

    @property
    def names(self) -> Names:
        """The names of our indices."""
        return Names(self.prefix)


@dataclass(frozen=True, slots=True)
class Names:
    """Our indices. Mentions lie in one index a month behind the alias `mentions`."""

    prefix: str

    @property
    def mentions(self) -> str:
        """The alias over all months."""
        return f"{self.prefix}mentions"

    @property
    def tombstones(self) -> str:
        """Retracted posts and withdrawn mentions: what must not come back."""
        return f"{self.prefix}tombstones"

    @property
    def retractions(self) -> str:
        """The ledger: every retraction that was asked for."""
        return f"{self.prefix}retractions"

    @property
    def stories(self) -> str:
        """Which post is in which story."""
        return f"{self.prefix}stories"

    @property
    def events(self) -> str:
        """Health of the stages, for Kibana."""
        return f"{self.prefix}events"

    @property
    def dead(self) -> str:
        """Dead letters without text, for Kibana."""
        return f"{self.prefix}dead"

    @property
    def documents(self) -> str:
        """What alerts keep: subscriptions, the outbox, states and counts."""
        return f"{self.prefix}documents"

    @property
    def alerts(self) -> str:
        """Alerts as flat fields, for Kibana."""
        return f"{self.prefix}alerts"

    def month(self, month: str) -> str:
        """Give the index of a month `YYYY.MM`.

        Raises:
            ValueError: it is none of the years 2000 to 2099.
        """
        if not is_month(month):
            raise ValueError(f"found the month {month!r}, expected one like 2026.03")
        return f"{self.mentions}-{month}"

    def month_of(self, index: str) -> tuple[str, int] | None:
        """Give the month `YYYY.MM` of an index and its number, 1 for the first; None where it is none of ours."""
        found = _INDEX.fullmatch(index.removeprefix(f"{self.mentions}-"))
        if found is None or not index.startswith(f"{self.mentions}-"):
            return None
        return found[1], int(found[2] or 1)

    def written(self, index: str) -> str:
        """Give the name under which the index of a month is written to, whatever migration it lies in now."""
        found = self.month_of(index)
        return index if found is None else self.month(found[0])


def is_month(month: str) -> bool:
    """Tell whether there may be an index for this month."""
    return _MONTH.fullmatch(month) is not None


def problems_of(settings: ElasticSettings) -> list[str]:
    """Give what is wrong with settings, a line each, without connecting."""
    problems = []
    if not settings.hosts:
        problems.append("elastic.hosts: found none, expected an address such as https://elastic:9200")
    for host in settings.hosts:
        parts = urlsplit(host)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problems.append(f"elastic.hosts: found {host!r}, expected an address such as https://elastic:9200")
        elif parts.username or parts.password:
            problems.append("elastic.hosts: found a password in an address, expected it in elastic.password")
    if settings.api_key and (settings.user or settings.password):
        problems.append("elastic: found an api_key and a user, expected one of both")
    if bool(settings.user) != bool(settings.password):
        problems.append("elastic: found one of user and password, expected both")
    if settings.ca_file and not Path(settings.ca_file).is_file():
        problems.append(f"elastic.ca_file: found no file {settings.ca_file}")
    if not _PREFIX.fullmatch(settings.prefix):
        problems.append(f"elastic.prefix: found {settings.prefix!r}, expected lower-case letters, digits, . _ and -")
    for name in ("request_timeout_seconds", "retry_seconds", "refresh_seconds"):
        if not getattr(settings, name) > 0:
            problems.append(f"elastic.{name}: found {getattr(settings, name)}, expected more than 0")
    if not 100_000 <= settings.bulk_bytes <= 50_000_000:
        problems.append(f"elastic.bulk_bytes: found {settings.bulk_bytes}, expected 100000 to 50000000")
    if not 1 <= settings.bulks_in_flight <= 16:
        problems.append(f"elastic.bulks_in_flight: found {settings.bulks_in_flight}, expected 1 to 16")
    if not 0 <= settings.replicas <= 10:
        problems.append(f"elastic.replicas: found {settings.replicas}, expected 0 to 10")
    return problems
