"""The book of alerts: those that were, and what people say to them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from alerts import silence as silences
from alerts import subscription as subscriptions
from alerts.records import Alert
from alerts.silence import Silence
from alerts.stored import ALERT, alert_body, alert_of
from alerts.subscription import Subscription
from domain.clock import to_ms
from domain.documents import ABSENT, Change, Conflict, Document, Documents, is_id
from domain.errors import ConfigError

log = logging.getLogger(__name__)

_Kept = TypeVar("_Kept")

SUBSCRIPTION: Final = "subscription"
UNPUBLISHED: Final = "unpublished"
USEFUL: Final = "useful"
NOISE: Final = "noise"
# How often a change is tried again that somebody else's came before.
_TRIES: Final = 5
# What ended longer ago is of no message any more.
_RECENT: Final = timedelta(hours=24)
# What began longer before a span is looked for no more: an alert of a brand ends in days, for its level becomes usual,
# and a source that refuses us for a quarter of a year is known by then.
_LONGEST: Final = timedelta(days=90)
_WHO_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Precision:
    """How useful the alerts of a rule were in a span, as people marked them."""

    rule_id: str
    alerts: int
    useful: int
    noise: int

    @property
    def share(self) -> float | None:
        """Share of useful ones among those that were marked; None where none was."""
        marked = self.useful + self.noise
        return self.useful / marked if marked else None


class AlertBook:
    """Alerts, silences and subscriptions made on the page. Thread-safe, and safe between processes."""

    def __init__(self, documents: Documents, publish: Callable[[Sequence[Alert]], None] | None = None) -> None:
        """Open nothing.

        Args:
            documents: where they are kept.
            publish: told of alerts that changed. Who has no way to publish them, such as a page, leaves a note of each
                for who has (`publish_noted`).
        """
        self._documents, self._publish = documents, publish

    def _find(self, kind: str, doc_id: str) -> Document | None:
        """Give a document by an id that people type, None where there is none, or can be none."""
        return self._documents.get(kind, [doc_id]).get(doc_id) if is_id(doc_id) else None

    # --- alerts

    def alert(self, alert_id: str) -> Alert:
        """Give one alert.

        Raises:
            ConfigError: there is none of this id.
        """
        found = self._find(ALERT, alert_id)
        if found is None:
            raise ConfigError(f"alert {_shown(alert_id)}: there is none of this id; `soundings alerts list` shows them")
        return alert_of(found.doc_id, found.body)

    def newest(self, limit: int, *, after: str = "") -> list[Alert]:
        """Give alerts, those that began last first, beyond the id `after`."""
        found = self._documents.scan(ALERT, after=after, limit=limit, descending=True)
        return [alert_of(document.doc_id, document.body) for document in found]

    def between(self, start: datetime, end: datetime, brand_id: str | None = None) -> list[Alert]:
        """Give the alerts that were firing at some time of `[start, end)`, the oldest first; of one brand or of all."""
        found = []
        for alert in self._from_newest():
            if alert.started_at < start - _LONGEST:
                break
            over = alert.resolved_at is not None and alert.resolved_at < start
            if alert.started_at < end and not over and brand_id in (None, alert.brand_id):
                found.append(alert)
        return found[::-1]

    def current(self, now: datetime) -> list[Alert]:
        """Give the alerts that fire, and those that ended in the last day: what messages may be about."""
        return [
            alert
            for alert in self.between(now - _RECENT, now + _RECENT)
            if alert.resolved_at is None or now - alert.resolved_at < _RECENT
        ]

    def _from_newest(self) -> Iterator[Alert]:
        after = ""
        while page := self._documents.scan(ALERT, after=after, descending=True):
            yield from (alert_of(document.doc_id, document.body) for document in page)
            after = page[-1].doc_id

    def acknowledge(self, alert_id: str, who: str, now: datetime) -> Alert:
        """Take note that somebody has seen an alert: it is not said again. The first one counts.

        Raises:
            ConfigError: there is no such alert.
            Conflict: it changes all the time.
        """

        def seen(alert: Alert) -> Alert:
            if alert.acknowledged_at is not None:
                return alert
            return replace(alert, acknowledged_at=now, acknowledged_by=_who(who))

        return self._change(alert_id, seen)

    def mark(self, alert_id: str, mark: str, who: str, now: datetime) -> Alert:
        """Say that an alert was "useful" or "noise", or take that back (""); the last one counts.

        Raises:
            ConfigError: there is no such alert, or the mark is another word.
            Conflict: it changes all the time.
        """
        if mark not in ("", USEFUL, NOISE):
            raise ConfigError(f"mark: found {mark[:40]!r}, expected {USEFUL}, {NOISE}, or nothing to take it back")
        given = now if mark else None
        return self._change(alert_id, lambda alert: replace(alert, mark=mark, marked_at=given, marked_by=_who(who)))

    def _change(self, alert_id: str, change: Callable[[Alert], Alert]) -> Alert:
        for left in range(_TRIES - 1, -1, -1):
            found = self._find(ALERT, alert_id)
            if found is None:
                return self.alert(alert_id)
            before = alert_of(found.doc_id, found.body)
            after = change(before)
            if after == before:
                break
            changed = Change(ALERT, alert_id, alert_body(after), found.revision)
            noted = [Change(UNPUBLISHED, alert_id, {})] if self._publish is None else []
            try:
                self._documents.apply([changed, *noted])
            except Conflict:
                if not left:
                    raise
                continue
            break
        if self._publish is not None:
            self._publish([after])
        return after

    def publish_noted(self) -> int:
        """Publish the alerts that were changed by who could not; gives how many.

        Raises:
            RetryLater, BackendDown: some may be; the same call again goes on.
        """
        noted = self._documents.scan(UNPUBLISHED)
        if not noted or self._publish is None:
            return 0
        found = self._documents.get(ALERT, [note.doc_id for note in noted])
        self._publish([alert_of(document.doc_id, document.body) for document in found.values()])
        for note in noted:
            # One that was changed again meanwhile has a note of its own.
            with suppress(Conflict):
                self._documents.apply([Change(UNPUBLISHED, note.doc_id, None, note.revision)])
        return len(noted)

    def precision(self, rule_ids: Sequence[str], start: datetime, end: datetime) -> list[Precision]:
        """Give how useful the alerts that began in `[start, end)` were, by rule."""
        began = [alert for alert in self.between(start, end) if alert.started_at >= start]
        return [
            Precision(
                rule_id,
                sum(alert.rule_id == rule_id for alert in began),
                sum(alert.rule_id == rule_id and alert.mark == USEFUL for alert in began),
                sum(alert.rule_id == rule_id and alert.mark == NOISE for alert in began),
            )
            for rule_id in rule_ids
        ]

    # --- silences

    def silences(self, now: datetime | None = None) -> list[Silence]:
        """Give the silences; those that stand at a moment, or all."""
        found = _readable(self._documents.scan(silences.KIND), silences.from_body)
        return [each for each in found if now is None or each.start <= now < each.end]

    def silence(self, made: Silence) -> None:
        """Keep a silence, or change the one of its id."""
        self._documents.apply([Change(silences.KIND, made.silence_id, silences.to_body(made))])

    def end_silence(self, silence_id: str) -> None:
        """End a silence at once.

        Raises:
            ConfigError: there is none of this id.
        """
        if self._find(silences.KIND, silence_id) is None:
            raise ConfigError(f"silence {_shown(silence_id)}: there is none of this id")
        self._documents.apply([Change(silences.KIND, silence_id, None)])

    # --- subscriptions

    def subscriptions(self) -> list[Subscription]:
        """Give the subscriptions that were made on the page."""
        return _readable(self._documents.scan(SUBSCRIPTION), subscriptions.from_body)

    def subscribe(self, made: Subscription, *, new: bool) -> None:
        """Keep a subscription; `new`: there must be none of its id.

        Raises:
            ConfigError: there is one already.
        """
        try:
            expected = ABSENT if new else None
            self._documents.apply([Change(SUBSCRIPTION, made.subscription_id, subscriptions.to_body(made), expected)])
        except Conflict:
            raise ConfigError(f"subscription {made.subscription_id}: there is one of this name already") from None

    def unsubscribe(self, subscription_id: str) -> None:
        """Remove a subscription that was made on the page.

        Raises:
            ConfigError: there is none of this id.
        """
        if self._find(SUBSCRIPTION, subscription_id) is None:
            raise ConfigError(
                f"subscription {_shown(subscription_id)}: there is none of this id that was made on the page; one of "
                "the configuration is removed there"
            )
        self._documents.apply([Change(SUBSCRIPTION, subscription_id, None)])


def _readable(found: Sequence[Document], read: Callable[[str, Mapping[str, Any]], _Kept]) -> list[_Kept]:
    """Read documents; one that cannot be read, such as of another version, keeps no other from holding."""
    kept = []
    for document in found:
        try:
            kept.append(read(document.doc_id, document.body))
        except (ConfigError, KeyError, TypeError, ValueError) as exc:
            log.warning("%s %s cannot be read and does not hold: %s", document.kind, document.doc_id, exc)
    return kept


def new_id(now: datetime) -> str:
    """Give an id that nothing else has, which sorts by time."""
    return f"{to_ms(now):014d}-{secrets.token_hex(4)}"


def _shown(doc_id: str) -> str:
    return doc_id[:60] or "''"


def _who(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:_WHO_CHARS]
