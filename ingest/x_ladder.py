"""How long to wait before X is tried again, as its documentation asks: a ladder for each kind of fault."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.x_client import FaultKind, XFault


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """The steps in seconds: 250 ms more each time after a network fault, twice as long after an answer."""

    network_step: float = 0.25
    network_most: float = 16.0
    http_first: float = 5.0
    http_most: float = 320.0
    limited_first: float = 60.0
    limited_most: float = 900.0


@dataclass(slots=True)
class Ladder:
    """Climbs with each fault until `reset`. A fault of another kind begins its own ladder."""

    settings: LadderSettings
    _kind: FaultKind | None = None
    _tries: int = 0

    def next(self, fault: XFault) -> float:
        """Give the wait after a fault: never less than what X asked for."""
        self._tries = self._tries + 1 if fault.kind is self._kind else 1
        self._kind = fault.kind
        steps = self.settings
        if fault.kind is FaultKind.NETWORK:
            wait = min(steps.network_most, steps.network_step * self._tries)
        elif fault.kind is FaultKind.HTTP:
            wait = min(steps.http_most, steps.http_first * 2.0 ** min(self._tries - 1, 30))
        else:
            wait = min(steps.limited_most, steps.limited_first * 2.0 ** min(self._tries - 1, 30))
        return max(wait, fault.wait_seconds)

    def reset(self) -> None:
        """Something came."""
        self._kind, self._tries = None, 0
