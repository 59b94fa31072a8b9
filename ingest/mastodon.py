"""Mastodon: the public timelines of several instances, each with a token, as one source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from queue import Queue
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mastodon import Mastodon, StreamListener
from mastodon.errors import MastodonError

from domain.brand import Brand
from domain.clock import Clock
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.event_stream import ServerEvent, read_events
from ingest.mastodon_history import MastodonHistory
from ingest.mastodon_memory import Memory, read_cursor
from ingest.mastodon_reader import QUEUE_EVENTS, MastodonReader
from ingest.mastodon_status import read_json, read_status
from ingest.mastodon_stream import PAGE_STATUSES, Heard, Instance, TimelineStream, timeline_key
from ingest.normalise import NormaliserSettings
from ingest.source import NOT_RUNNING, OPENED_ANEW, AsksForWords, Item, RawPost, Source
from ingest.web import USER_AGENT, Asker, Fetcher, NotAllowed, resolve, retry_after
from net.failure import connection_failure

PAGE = "docs/sources/mastodon.md"
_TOKEN = "source.mastodon.token"  # noqa: S105  # the name of a setting
_CONNECT_SECONDS = 20.0
_CHUNK_BYTES = 8192


def _html() -> NormaliserSettings:
    return NormaliserSettings(html="always")


@dataclass(frozen=True, slots=True, kw_only=True)
class MastodonSettings:
    """Which instances, with their tokens, and what of them.

    `tokens` has the token of each instance, by its address (`https://mastodon.example`). `timeline` is public, local
    or remote; with `tags` (without their sign) only these are listened to. A stream that is silent for
    `silence_seconds`, heartbeats included, is taken for dead.
    """

    tokens: Mapping[str, str] = field(repr=False)
    timeline: str = "public"
    tags: tuple[str, ...] = ()
    respect_noindex: bool = True
    silence_seconds: float = 45.0
    catch_up_pages: int = 250
    retry_seconds: float = 1.0
    normalise: NormaliserSettings = field(default_factory=_html)
    allow_private: bool = False


def _nobody(_: RawPost) -> bool:
    return False


class MastodonSource:
    """`ingest.source.LiveSource` over streams of Mastodon. A cursor is what `ingest.mastodon_memory` writes."""

    name = "mastodon"
    key = "mastodon"

    def __init__(
        self, settings: MastodonSettings, clock: Clock, *, is_ours: Callable[[RawPost], bool] = _nobody
    ) -> None:
        self._settings, self._clock, self.is_ours = settings, clock, is_ours
        # Why it was not listened to before it is opened.
        self._away = NOT_RUNNING

    def brands_changed(self, brands: Sequence[Brand]) -> None:
        """As `ingest.source.AsksForWords`: whose removals are to be known changes; posts come all the same."""
        if isinstance(self.is_ours, AsksForWords):
            self.is_ours.brands_changed(brands)

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return read_cursor(cursor) is not None

    def open(self, cursor: str | None) -> MastodonReader:
        settings, clock = self._settings, self._clock
        memory = (read_cursor(cursor) if cursor is not None else None) or Memory()
        queue: Queue[Heard] = Queue(QUEUE_EVENTS)
        fetcher = Fetcher(allow_private=settings.allow_private)
        streams = [
            TimelineStream(
                instance,
                tag,
                queue,
                clock,
                since=memory.positions.get(timeline_key(instance.host, tag)),
                backoff=Backoff(first_seconds=settings.retry_seconds, most_seconds=60.0),
                catch_up_pages=settings.catch_up_pages,
                reason=self._away,
            )
            for instance, tag in self._timelines(fetcher)
        ]
        self._away = OPENED_ANEW
        keys = {stream.key for stream in streams}
        memory.positions = {key: position for key, position in memory.positions.items() if key in keys}
        return MastodonReader(
            streams,
            queue,
            memory,
            clock,
            respect_noindex=settings.respect_noindex,
            is_ours=self.is_ours,
            close=fetcher.close,
        )

    def history(self, start: datetime, end: datetime) -> Source:
        """As `ingest.source.History`: as far back as each instance shows its timeline."""
        return MastodonHistory(
            start,
            end,
            timelines=self._timelines,
            allow_private=self._settings.allow_private,
            respect_noindex=self._settings.respect_noindex,
        )

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        status = read_json(payload)
        if not isinstance(status, Mapping):
            raise ConfigError(f"found no status of Mastodon in the dead letter from {position}, expected a JSON object")
        host = position.rpartition(":")[0]
        content = read_status(status, host, seen_at=None, uri_by_id=lambda _: None)
        return Item(position=position, cursor="", raw=payload, content=content)

    def _timelines(self, fetcher: Fetcher) -> list[tuple[Instance, str]]:
        """Give each timeline with a connection of its own."""
        return [
            (_Instance(address, token, self._settings, self._clock, fetcher), tag)
            for address, token in self._settings.tokens.items()
            for tag in self._settings.tags or ("",)
        ]


class _Instance:
    """`ingest.mastodon_stream.Instance`: the stream by Mastodon.py, pages of timelines by our own guarded fetching."""

    def __init__(self, address: str, token: str, settings: MastodonSettings, clock: Clock, fetcher: Fetcher) -> None:
        self.host = urlsplit(address).netloc
        self._address, self._token, self._settings, self._clock = address, token, settings, clock
        self._asker = Asker(fetcher, setting=_TOKEN, page=PAGE, clock=clock)
        self._listener: _Listener | None = None

    def listen(self, tag: str, opened: Callable[[], None], event: Callable[[ServerEvent], None]) -> None:
        settings = self._settings
        # A new client each time: it remembers the address of the stream even where it could not ask for it.
        client = Mastodon(
            access_token=self._token,
            api_base_url=self._address,
            ratelimit_method="throw",
            request_timeout=_CONNECT_SECONDS,
            user_agent=USER_AGENT,
        )
        last = _Last()
        _guard(client.session, settings.allow_private, last)
        self._listener = listener = _Listener(opened, event)
        local, remote = settings.timeline == "local", settings.timeline == "remote"
        try:
            if tag:
                client.stream_hashtag(tag, listener, local=local, timeout=settings.silence_seconds)
            else:
                client.stream_public(listener, local=local, remote=remote, timeout=settings.silence_seconds)
        except NotAllowed as exc:
            raise ConfigError(f"source.mastodon.instances: {exc}") from exc
        except (MastodonError, OSError) as exc:
            raise self._translated(last, listener.was_open, exc) from exc
        finally:
            last.close()
            client.session.close()

    def _translated(self, last: _Last, was_open: bool, error: Exception) -> RetryLater | ConfigError:
        """Give our error for one of the client, which hides the status of an answer."""
        if was_open or last.status in (0, 200):
            what = "was cut off, or silent for too long" if was_open else "cannot be reached"
            return RetryLater(f"{self.host} {what}: {connection_failure(error)}", 0.0)
        if last.status in (401, 403):
            return ConfigError(f"{_TOKEN}: {self.host} refuses it ({last.status}); see {PAGE}")
        wait = retry_after(last.headers, self._clock.now()) or 0.0
        return RetryLater(f"{self.host} answers {last.status}", wait)

    def page(self, tag: str, after_id: str) -> Sequence[Mapping[str, Any]]:
        timeline = f"tag/{quote(tag)}" if tag else "public"
        asked = {"min_id": after_id, "limit": str(PAGE_STATUSES)}
        if self._settings.timeline in ("local", "remote"):
            asked[self._settings.timeline] = "true"
        url = f"{self._address}/api/v1/timelines/{timeline}?{urlencode(asked)}"
        found = self._asker.ask_json(url, headers={"Authorization": f"Bearer {self._token}"})
        if not isinstance(found, list):
            raise self._asker.unreadable(f"{self.host} gave no timeline")
        # Newest first, whichever way it was asked.
        return [status for status in reversed(found) if isinstance(status, Mapping)]

    def hang_up(self) -> None:
        if self._listener is not None:
            self._listener.hang_up()


class _Listener(StreamListener):
    """Reads the open connection itself: the client's way reads byte by byte, and keeps nothing as it was sent."""

    def __init__(self, opened: Callable[[], None], event: Callable[[ServerEvent], None]) -> None:
        self._opened, self._event = opened, event
        self._response: Any = None
        self.was_open = False

    def handle_stream(self, response: Any) -> None:
        self._response = response
        self._opened()
        self.was_open = True
        # Where the server does not send in chunks, only reading byte by byte gives what is there already.
        size = _CHUNK_BYTES if getattr(response.raw, "chunked", False) else 1
        for event in read_events(response.iter_content(size)):
            self._event(event)

    def hang_up(self) -> None:
        try:
            if self._response is not None:
                self._response.raw.shutdown()
        except (AttributeError, OSError, RuntimeError, ValueError):
            # It is not open any more, or it ends with its next heartbeat.
            return


@dataclass(slots=True)
class _Last:
    """What the last answer of a client's session was."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    response: Any = None

    def close(self) -> None:
        """Let go of its connection: the client leaves one that is refused open."""
        if self.response is not None:
            self.response.close()


def _guard(session: Any, allow_private: bool, last: _Last) -> None:
    """Have a session connect to allowed addresses only, ask nothing of the environment, and tell of its answers."""
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"

    def note(response: Any, **_: Any) -> None:
        last.response, last.status = response, response.status_code
        last.headers = {name.lower(): value for name, value in response.headers.items()}

    session.hooks["response"].append(note)
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Checked(session.get_adapter(scheme), allow_private, last))


class _Checked:
    """An adapter of a session that looks at the address first; redirects come through here as well."""

    def __init__(self, adapter: Any, allow_private: bool, last: _Last) -> None:
        self._adapter, self._allow_private, self._last = adapter, allow_private, last

    def send(self, request: Any, **options: Any) -> Any:
        # What an earlier question was answered says nothing of this one.
        self._last.status = 0
        parts = urlsplit(request.url)
        resolve(parts.hostname or "", parts.port or 443, allow_private=self._allow_private)
        return self._adapter.send(request, **options)

    def close(self) -> None:
        self._adapter.close()
