"""A person's request: a post or an author is retracted, by a running pipeline or on the log of a cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from domain import ids
from domain.clock import SystemClock
from domain.errors import ConfigError
from domain.records import BrandMatch, Post
from ingest.stage import IngestStage
from search.retractions import RetractionRow
from service.components import open_log, open_store
from service.settings import Settings

# What stands in the ledger for years is short.
MAX_WHO = 200
MAX_REASON = 500
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """Who asks for what: a post (`native_id`) or an author (`author_id`) of a source."""

    source: str
    native_id: str | None
    author_id: str | None
    asked_by: str
    reason: str

    @property
    def kind(self) -> Literal["post", "author"]:
        """Which of both it is."""
        return "post" if self.native_id is not None else "author"

    @property
    def key(self) -> str:
        """The id of the post, or the key of the author."""
        if self.native_id is not None:
            return ids.post_id(self.source, self.native_id)
        return ids.author_key(self.source, self.author_id or "")

    def ask(self) -> dict[str, Any]:
        """Give it as a request to a running pipeline."""
        return {
            "command": "forget",
            "source": self.source,
            "native_id": self.native_id,
            "author_id": self.author_id,
            "asked_by": self.asked_by,
            "reason": self.reason,
        }

    @staticmethod
    def of(request: Mapping[str, Any]) -> ForgetRequest:
        """Read what `ask` gave."""
        return ForgetRequest(
            request["source"], request["native_id"], request["author_id"], request["asked_by"], request["reason"]
        )

    def perform(self, stage: IngestStage) -> str:
        """Have a stage send it on; gives the id of the post, or the key of the author.

        Raises:
            RetryLater, BackendDown: it was not taken.
        """
        return stage.forget(
            source=self.source,
            native_id=self.native_id,
            author_id=self.author_id,
            asked_by=self.asked_by,
            reason=self.reason,
        )


def read_request(*, post: str | None, author: str | None, asked_by: str, reason: str) -> ForgetRequest:
    """Check what somebody typed.

    Raises:
        ConfigError: every problem found.
    """
    problems = []
    source, _, name = (post if post is not None else author or "").partition(":")
    what = "--post" if post is not None else "--author"
    if not _SOURCE.fullmatch(source) or not name:
        problems.append(f"{what}: expected SOURCE:ID, such as hackernews:123; `soundings search --json` shows both")
    for option, text, most in (("--by", asked_by, MAX_WHO), ("--reason", reason, MAX_REASON)):
        if not text.strip() or len(text) > most or not text.isprintable():
            problems.append(f"{option}: expected 1 to {most} characters on one line, found {len(text)}")
    if problems:
        raise ConfigError(problems)
    return ForgetRequest(
        source, name if post is not None else None, name if post is None else None, asked_by.strip(), reason.strip()
    )


class _NoBrands:
    """Nothing is matched by a request."""

    queries = ""
    brand_ids: frozenset[str] = frozenset()

    def match(self, post: Post) -> tuple[BrandMatch, ...]:
        return ()


def forget_on_cluster(settings: Settings, request: ForgetRequest) -> list[str]:
    """Put a request on a log that machines share, whose workers do the rest; gives what to say of it.

    Raises:
        ConfigError, RetryLater, BackendDown: as `service.forget_known.look`, log and store.
    """
    from service.forget_known import look

    clock = SystemClock()
    with closing(open_store(settings, clock, read_only=True)) as store:
        known = look(store, request)
    with closing(open_log(settings, clock, role="cli")) as log:
        key = request.perform(IngestStage(log, _NoBrands(), clock))
    line = f"The {request.kind} {key} is on the log; the workers remove it: "
    if not known.mentions and known.asked_before is not None:
        return [f"{line}nothing of it is stored. {already(known.asked_before)}"]
    return [f"{line}{counted(known.mentions, 'mention')} of it {_is(known.mentions)} stored.", *known.hints]


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def counted(number: int, noun: str) -> str:
    """Say how many."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def already(row: RetractionRow) -> str:
    """Say when it was forgotten before."""
    return f"It was already forgotten at {row.asked_at:%Y-%m-%d %H:%M:%S} UTC, as {row.asked_by} asked."


def told(request: ForgetRequest, did: Mapping[str, Any]) -> list[str]:
    """Say what a pipeline's `forget` did: how much went, or that nothing did and what may have been meant."""
    subject = f"The {request.kind} {did['id']}"
    if did["mentions"] or did["letters"]:
        held = f", and what {counted(did['letters'], 'dead letter')} held" if did["letters"] else ""
        lines = [f"{subject} is gone: {counted(did['mentions'], 'mention')}{held}."]
    else:
        lines = [f"{subject}: nothing of it was stored, so nothing went; from now on it is kept out."]
        lines += [did["already"]] * bool(did["already"])
        lines += did["hints"]
    if not did["cut"]:
        lines.append("Somebody reads the data folder, so bytes of it may stand in its files until the log is pruned.")
    return lines


def facts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Give rows of the ledger as values of JSON."""
    return [
        {
            "subject": row.subject,
            "id": row.key,
            "source": row.source,
            "reason": row.reason,
            "asked_by": row.asked_by,
            "asked_at": row.asked_at.isoformat(),
            "done_at": None if row.done_at is None else row.done_at.isoformat(),
            "mentions": row.mentions,
        }
        for row in rows
    ]
