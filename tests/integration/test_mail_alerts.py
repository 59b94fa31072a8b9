"""From a crisis to a mailbox: the address is asked, agrees by its link, and is told with chart and reasons."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from fakes.alert_world import CRISIS, QUIET_DAYS, crisis, usual
from fakes.clock import FakeClock
from fakes.mail_server import MailServer, serve_mail
from fakes.mentions import START

from alerts.book import AlertBook
from alerts.channel import CHART_CID
from alerts.errands import Errands
from alerts.evaluator import EVALUATOR, STATUS
from alerts.links import PAGE, Links, shared_key
from alerts.outbox import Outbox, State
from alerts.recipients import Recipients
from domain.clock import to_ms
from search.embedded import EmbeddedStore
from search.sqlite_documents import SqliteDocuments
from service.alerting import Alerting
from service.settings import Settings, load
from stream.embedded import EmbeddedLog

CONFIG = """
[data]
dir = "{folder}"

[web]
public_url = "https://soundings.acme.example"

[alerts]
look_seconds = 1
group_wait_seconds = 0

[[brands]]
id = "acme"
name = "Acme"
query = "acme"

[[channels]]
id = "mail"
type = "email"
host = "127.0.0.1"
port = {port}
security = "none"
sender = "Soundings <alerts@acme.example>"

[[subscriptions]]
id = "ann"
channel = "mail"
recipient = "ann@acme.example"
timezone = "Europe/Berlin"
"""


class World:
    """Everything that alerts are made of, with a server for mails, and a clock that tests move."""

    def __init__(self, settings: Settings, folder: Path, server: MailServer, opened: ExitStack) -> None:
        self.settings, self.server = settings, server
        self.clock = FakeClock(CRISIS)
        self.log = opened.enter_context(closing(EmbeddedLog.open(folder / "log.sqlite", clock=self.clock)))
        self.store = opened.enter_context(closing(EmbeddedStore.open(folder / "store", clock=self.clock)))
        self.documents = opened.enter_context(closing(SqliteDocuments.open(folder / "alerts.db")))
        self.outbox = Outbox(self.documents)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run alerts as their process does."""
        alerting = Alerting(
            self.settings, self.log, self.store, self.documents, lambda: self.settings.brands, self.clock
        )
        stop = threading.Event()
        thread = threading.Thread(target=alerting.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def wait(self, reached: Callable[[], bool]) -> None:
        """Wait for something, while a minute passes with every tenth of a second."""
        pause = threading.Event()
        while not reached():
            pause.wait(0.1)
            self.clock.advance(60)

    def looked_at(self) -> int:
        """Give when the last look was, in ms."""
        return int(self.documents.get(STATUS, [EVALUATOR])[EVALUATOR].body["at_ms"])

    def follow(self, mail: EmailMessage, purpose: str) -> None:
        """Press the button behind a link of a mail."""
        links = Links("https://soundings.acme.example", shared_key(self.documents))
        errands = Errands(links, AlertBook(self.documents), Recipients(self.documents))
        plain = mail.get_body(("plain",))
        assert isinstance(plain, EmailMessage)
        tokens = re.findall(re.escape(PAGE) + r"(\S+)", plain.get_content())
        (token,) = [token for token in tokens if errands.look(token, self.clock.now()).purpose == purpose]
        assert errands.run(token, "", self.clock.now()).done


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "data"
    folder.mkdir()
    with ExitStack() as opened:
        server = opened.enter_context(serve_mail())
        file = tmp_path / "soundings.toml"
        file.write_text(CONFIG.format(folder=folder, port=server.port))
        made = World(load(file, environ={}), folder, server, opened)
        mentions = [*usual(START, QUIET_DAYS + 0.5), *crisis(text="the lid leaks <b>again</b>")]
        for begin in range(0, len(mentions), 500):
            made.store.write(mentions[begin : begin + 500])
        made.store.refresh()
        yield made


def test_an_address_is_asked_then_told_with_chart_and_reasons_then_left_alone(world: World) -> None:
    with world.running():
        world.wait(lambda: bool(world.server.mails))
        (question,) = world.server.mails
        assert question["Subject"] == "Do you want alerts from Soundings?"
        assert "Acme" not in question.as_string()
        world.wait(lambda: bool(AlertBook(world.documents).newest(1)))
        assert len(world.server.mails) == 1
        world.follow(question, "confirm")
        world.wait(lambda: len(world.server.mails) == 2)
        alert = world.server.mails[1]
        assert str(alert["Subject"]).startswith("Acme: ")
        pictures = [part for part in alert.walk() if part.get_content_type() == "image/png"]
        assert [part["Content-ID"] for part in pictures] == [f"<{CHART_CID}>"]
        page = alert.get_body(("html",))
        assert isinstance(page, EmailMessage)
        assert "the lid leaks &lt;b&gt;again&lt;/b&gt;" in page.get_content()
        world.follow(alert, "unsubscribe")
        sent = len(world.server.mails)
        # It ends within three hours, which is told to nobody.
        world.clock.advance(3 * 3600)
        later = to_ms(world.clock.now())
        world.wait(
            lambda: world.looked_at() > later and AlertBook(world.documents).newest(1)[0].resolved_at is not None
        )
        assert len(world.server.mails) == sent
    assert {entry.state for entry in world.outbox.entries()} <= {State.SENT, State.DROPPED}
    assert len({mail["Message-ID"] for mail in world.server.mails}) == len(world.server.mails)
