"""Alerts to look at: a crisis that the evaluator found in a real store, told to whom, and the pages that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from fakes.alert_world import CRISIS, MINUTE, AlertWorld, crisis, said
from fakes.dashboard_world import HOSTILE, HOSTILE_LINKS
from fastapi import FastAPI

from alerts.book import AlertBook
from alerts.links import Links, Purpose, shared_key
from alerts.outbox import Outbox
from alerts.records import Alert, Notification
from alerts.silence import Silence
from alerts.standing import Pulse, noted
from dashboard.access import AccessSettings
from dashboard.app import build_app
from domain.brand import Brand
from domain.clock import to_ms
from domain.documents import Documents
from domain.records import Event
from search.store import Store
from service.alert_page import ServiceAlertDesk
from service.settings import Settings, load
from stream.embedded import EmbeddedLog

ADDRESS = "http://127.0.0.1:8000"
PUBLIC = "https://soundings.acme.example"
OWN = {"Origin": ADDRESS}
# Names that a configuration may hold; whatever they say, they are shown and do nothing.
HOSTILE_RULE = '"><script>alert(11)</script>'
CONFIG = f"""
[web]
public_url = "{PUBLIC}"
[[brands]]
id = "acme"
name = "Acme <b>& Sons</b>"
query = "acme"
[[brands]]
id = "globex"
name = "Globex"
query = "globex"
[[rules]]
id = "negative-spike"
name = "Spike of negative mentions"
severity = "critical"
[[rules]]
id = "loud"
name = '{HOSTILE_RULE}'
metric = "volume"
window_minutes = 30
[[channels]]
id = "mail"
type = "email"
host = "127.0.0.1"
security = "none"
sender = "soundings@acme.example"
[[channels]]
id = "hook"
type = "webhook"
url = "https://hooks.acme.example/soundings"
[[subscriptions]]
id = "on-call"
channel = "hook"
audience = "it"
[[subscriptions]]
id = "brand-team"
channel = "mail"
recipient = "team@acme.example"
brands = ["acme"]
"""
ENVIRON = {"SOUNDINGS_CHANNEL_HOOK_SECRET": "s" * 32}
# When one looks: half an hour into the crisis.
NOW = CRISIS + timedelta(minutes=40)


@dataclass(frozen=True)
class AlertPagesWorld:
    """A crisis, the pages, and what keeps both."""

    world: AlertWorld
    settings: Settings
    desk: ServiceAlertDesk
    log: EmbeddedLog
    brands: tuple[Brand, ...]
    app: FastAPI

    def application(self, access: AccessSettings) -> FastAPI:
        """Give the pages with another door."""
        return build_app(
            self.world.store, self.log, self.brands, clock=self.world.clock, access=access, alerts=self.desk
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str | list[str]] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
        app: FastAPI | None = None,
    ) -> httpx.Response:
        """Ask as a browser on this machine does; an error that nobody answered is raised here."""

        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(app or self.app)
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, trust_env=False) as client:
                return await client.request(
                    method,
                    path,
                    json=json,
                    data=form,
                    content=content,
                    headers=dict(OWN if headers is None else headers),
                )

        return asyncio.run(sent())

    @property
    def book(self) -> AlertBook:
        """The book of alerts."""
        return self.desk.book

    def alert(self, rule_id: str = "negative-spike") -> Alert:
        """Give the alert of a rule about Acme."""
        return next(one for one in self.book.newest(100) if one.rule_id == rule_id)

    def due(self, channel: str) -> list[Notification]:
        """Give what waits to be told by a channel."""
        return [entry.notification for entry in Outbox(self.world.documents).due(channel, self.world.clock.now())]

    def link(self, purpose: Purpose, subject: str, who: str = "", at: datetime | None = None) -> str:
        """Give the path of a signed link."""
        links = Links(PUBLIC, shared_key(self.world.documents))
        return links.signed(purpose, subject, at or self.world.clock.now(), who).removeprefix(PUBLIC)


@contextmanager
def open_alert_pages(
    folder: Path, *, fires: bool = True, store: Store | None = None, documents: Documents | None = None
) -> Iterator[AlertPagesWorld]:
    """Open it in an empty folder; `fires` with a crisis of hostile posts that goes on, else before anything was.

    Mentions and alerts lie in the folder, unless a store and documents are given, which are closed in the end.
    """
    config = folder / "soundings.toml"
    config.write_text(CONFIG, encoding="utf-8")
    settings = load(config, environ={"SOUNDINGS_DATA_DIR": str(folder / "data"), **ENVIRON})
    world = AlertWorld(folder, settings.alerts.rules, store=store, documents=documents)
    log = EmbeddedLog.open(folder / "log.sqlite3")
    try:
        if fires:
            _crisis(world)
        desk = ServiceAlertDesk(settings, world.store, world.documents)
        app = build_app(world.store, log, settings.brands, clock=world.clock, alerts=desk)
        yield AlertPagesWorld(world, settings, desk, log, settings.brands, app)
    finally:
        world.close()
        log.close()


def _crisis(world: AlertWorld) -> None:
    world.history()
    world.look(CRISIS)
    world.write(crisis(number=90))
    world.write(
        [
            said(
                f"hostile{index}",
                CRISIS + timedelta(minutes=index + 1),
                "negative",
                text=text,
                url=HOSTILE_LINKS[index],
                author_handle='"><b onclick=alert(9)>\u202e',
                source="<b>x</b>",
                words=("<i>lid</i>", "leaks"),
            )
            for index, text in enumerate(HOSTILE)
        ]
    )
    moments = {"start_ms": to_ms(CRISIS - timedelta(hours=6)), "end_ms": to_ms(CRISIS - timedelta(hours=5))}
    world.store.note([Event(kind="gap", source="x", at=CRISIS, detail={**moments, "reason": "cut off"})])
    for step in range(5, 41, 5):
        at = CRISIS + step * MINUTE
        minute = world.look(at)
        world.tell()
    note_pulse(world, minute.watches, at)


def note_pulse(world: AlertWorld, watches: int, edge: datetime, *, late: bool = False) -> None:
    """Say that everything was looked at, as the service does after each look."""
    now = world.clock.now()
    late_since = now if late else None
    world.documents.apply([noted(Pulse(at=now, edge=edge, late_since=late_since, holder="test/1", watches=watches))])


def hush(world: AlertPagesWorld) -> Silence:
    """Silence Globex for a while."""
    now = world.world.clock.now()
    made = Silence(
        silence_id="s1", start=now, end=now + timedelta(hours=3), brands=("globex",), made_by="ann", why="<b>launch</b>"
    )
    world.book.silence(made)
    return made
