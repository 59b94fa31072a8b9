"""X: the filtered stream of its API, paid by the post, as one source within a daily budget."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakSet

from domain.brand import Brand
from domain.clock import Clock
from domain.errors import ConfigError
from ingest.normalise import NormaliserSettings
from ingest.source import NOT_RUNNING, OPENED_ANEW, Item, Source
from ingest.web import Fetcher
from ingest.x_budget import Budget
from ingest.x_client import PAGE, XClient
from ingest.x_compliance import POLL_SECONDS, Compliance
from ingest.x_history import XHistory
from ingest.x_ladder import Ladder, LadderSettings
from ingest.x_post import read_json, read_post
from ingest.x_reader import XReader
from ingest.x_rules import compile_rules
from ingest.x_search import MAX_AGE
from ingest.x_state import XState, read_state

logger = logging.getLogger(__name__)


def _plain() -> NormaliserSettings:
    return NormaliserSettings(html="never")


@dataclass(frozen=True, slots=True, kw_only=True)
class XSettings:
    """The app's token, what may be spent, and how patient to be.

    With `authors` their names and handles are asked for, which costs extra. X sends a sign of life every 20 s; a stream
    that is silent for `silence_seconds` is taken for dead. Removals are asked for every `compliance_hours`.
    """

    token: str = field(repr=False)
    address: str = "https://api.x.com"
    authors: bool = False
    budget: Budget = field(default_factory=Budget)
    recover_posts: int = 1_000
    compliance_hours: float = 24.0
    silence_seconds: float = 21.0
    ladder: LadderSettings = field(default_factory=LadderSettings)
    compliance_poll_seconds: float = POLL_SECONDS
    normalise: NormaliserSettings = field(default_factory=_plain)
    allow_private: bool = False


class XSource:
    """`ingest.source.LiveSource` over X. A cursor is what `ingest.x_state` writes.

    Raises:
        ConfigError: the brands cannot be asked for.
    """

    name = "x"
    key = "x"

    def __init__(self, settings: XSettings, brands: Sequence[Brand], clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._readers: WeakSet[XReader] = WeakSet()
        # Why it was not listened to before it is opened.
        self._away = NOT_RUNNING
        self.rules = compile_rules(brands)
        problems = list(self.rules.problems)
        if not self.rules.rules:
            problems += [*self.rules.notes, f"source x: no brand can be asked for there; see {PAGE}"]
        if problems:
            raise ConfigError(problems)

    def brands_changed(self, brands: Sequence[Brand]) -> None:
        """As `ingest.source.AsksForWords`: the app's rules are brought in step while the stream goes on."""
        rules = compile_rules(brands)
        if rules.problems:
            logger.error("%s; X is asked for the brands before", "; ".join(rules.problems))
            return
        self.rules = rules
        for reader in list(self._readers):
            reader.ask_for(rules)

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return read_state(cursor) is not None

    def open(self, cursor: str | None) -> XReader:
        settings = self._settings
        client = self._client()
        state = (read_state(cursor) if cursor is not None else None) or XState()
        compliance = Compliance(
            client,
            Fetcher(allow_private=settings.allow_private),
            state,
            self._clock,
            every_seconds=settings.compliance_hours * 3600.0,
            poll_seconds=settings.compliance_poll_seconds,
        )
        reader = XReader(
            client,
            self.rules,
            state,
            self._clock,
            budget=settings.budget,
            ladder=Ladder(settings.ladder),
            compliance=compliance,
            recover_posts=settings.recover_posts,
            reason=self._away,
        )
        self._away = OPENED_ANEW
        self._readers.add(reader)
        return reader

    def history(self, start: datetime, end: datetime) -> Source:
        """As `ingest.source.History`: seven days by recent search, each post paid for, within a budget of its own."""
        now = self._clock.now()
        if start < now - MAX_AGE:
            raise ConfigError(f"source x: recent search goes back to {now - MAX_AGE:%Y-%m-%d %H:%M} UTC, not further")
        return XHistory(start, end, self._client, self.rules.searches, self._settings.budget, self._clock)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        envelope = read_json(payload)
        if not isinstance(envelope, Mapping):
            raise ConfigError(f"found no post of X in the dead letter from {position}, expected a JSON object")
        return Item(position=position, cursor="", raw=payload, content=read_post(envelope, seen_at=None))

    def _client(self) -> XClient:
        settings = self._settings
        return XClient(settings.address.rstrip("/"), settings.token, settings.authors, settings.silence_seconds)
