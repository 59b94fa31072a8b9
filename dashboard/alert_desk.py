"""What the pages and the API of alerts ask: how things stand, and to change them. Filled in by whoever serves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from alerts.asking import Deaf
from alerts.book import AlertBook
from alerts.drivers import Drivers
from alerts.errands import Errand
from alerts.records import Alert, Reading
from alerts.rule import Rule
from alerts.standing import Pulse, Standing
from alerts.subscription import Subscription
from domain.records import Mention


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A way to tell somebody, without its secrets. One that is `addressed` needs the address of each recipient."""

    channel_id: str
    kind: str
    addressed: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """How the windows of an alert's rule went around it, one each five minutes, and when its sources were deaf."""

    readings: tuple[Reading, ...] = ()
    gaps: tuple[Deaf, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """What drives an alert: what stands out in its windows, and posts that show it."""

    drivers: Drivers = field(default_factory=Drivers)
    samples: tuple[Mention, ...] = ()


class AlertDesk(Protocol):
    """Thread-safe. Every call may raise RetryLater or BackendDown: whoever keeps it does not answer."""

    @property
    def book(self) -> AlertBook:
        """Alerts, silences and subscriptions made on the page."""

    @property
    def rules(self) -> Sequence[Rule]:
        """What is watched."""

    @property
    def channels(self) -> Sequence[ChannelView]:
        """By what somebody can be told."""

    @property
    def configured(self) -> Sequence[Subscription]:
        """The subscriptions of the configuration."""

    @property
    def public(self) -> bool:
        """Whether the address of this page is known, as links in an e-mail need."""

    def standings(self) -> Sequence[Standing]:
        """Give what every rule sees of every brand, as of the last look."""

    def pulse(self) -> Pulse | None:
        """Give how the evaluator's last look went; None where there never was one."""

    def holder(self, now: datetime) -> str:
        """Tell who has the right to look now, "" for nobody."""

    def curve(self, alert: Alert, start: datetime, end: datetime) -> Curve:
        """Give how the windows of an alert's rule that end in `(start, end]` went."""

    def cause(self, alert: Alert) -> Cause:
        """Give what drives an alert, at its peak."""

    def is_confirmed(self, address: str) -> bool:
        """Tell whether whoever reads an address agreed to be told."""

    def invite(self, subscription: Subscription, now: datetime) -> None:
        """Ask whoever reads a subscription's address whether it wants to be told."""

    def test(self, subscription: Subscription, now: datetime) -> None:
        """Have a message sent that says that it is a test."""

    def errand(self, token: str, now: datetime) -> Errand:
        """Tell what a signed link is for; nothing is changed.

        Raises:
            BadLink: it cannot be followed.
        """

    def run_errand(self, token: str, word: str, now: datetime) -> Errand:
        """Do what a signed link is for; gives it as it is then. `word` is the mark that is given, else "".

        Raises:
            BadLink: it cannot be followed.
            ConfigError: the mark is another word.
        """
