"""What Jetstream says on its wire, versions 1 and 2, and where in its stream a listener stands.

Version 1 (`/subscribe`): one event a frame, with its time in microseconds. Version 2 is the lexicon
`network.bsky.jetstream.subscribeEvents`: one event in the envelope of a message, with a sequence number besides.
Servers of version 2 speak version 1 too, and then add the number as `cursor`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from domain.errors import ConfigError

COLLECTION = "app.bsky.feed.post"
# A larger event is skipped by the server and ends the connection if it comes all the same. A post has 3,000 bytes of
# text; nothing that an app shows comes near this.
MAX_FRAME_BYTES = 256 * 1024
# A server that does not skip it would give it again for ever: it is read once more up to this size, and parked.
LARGEST_FRAME_BYTES = 8 * 1024 * 1024
SUBPROTOCOL = "xrpc.v1.json"

_LEXICON = "network.bsky.jetstream.subscribeEvents"
_PATHS = {1: "/subscribe", 2: f"/xrpc/{_LEXICON}"}
_DID = re.compile(r"did:[a-z]{1,32}:[A-Za-z0-9._:%-]{1,500}")
_KEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_HANDLE = re.compile(r"[A-Za-z0-9.-]{3,253}")
_OPERATIONS = ("create", "update", "delete")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Until the year 2100: a time of a broken server must not become a place that nothing comes after.
_MAX_MICROS = 4_102_444_800_000_000
# A larger number as a cursor is a time in microseconds to the server.
_MAX_SEQ = 10**15
NOWHERE = "-"
_PLACE = re.compile(r"([0-9]{1,16}) ([0-9]{1,6}) ([12]) ([0-9]{1,15}) ([!-~]{1,300})", re.ASCII)


def micros_of(moment: datetime) -> int:
    """Give microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(micros: int) -> datetime:
    """Give the time of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


class BadFrame(Exception):
    """A frame that is not what the protocol says. The message says what is wrong, and nothing of what it held."""


class _Wrong(Exception):
    """A field of an event holds what it cannot; the message is the name of the field."""


class StreamError(Exception):
    """The server ends the stream, with the name of an error."""


@dataclass(frozen=True, slots=True)
class Server:
    """One Jetstream server. `name` is how it is known in cursors and shown; `versions` are tried in order."""

    name: str
    base: str
    versions: tuple[int, ...]

    def address(self, version: int, cursor: int) -> str:
        """Give the address to subscribe at; `cursor` is a sequence number or a time in microseconds."""
        asked: list[tuple[str, str | int]]
        if version == 1:
            asked = [("wantedCollections", COLLECTION)]
        else:
            asked = [("collections", COLLECTION), ("kinds", "commit"), ("kinds", "account"), ("kinds", "identity")]
        asked += [("maxMessageSizeBytes", MAX_FRAME_BYTES), ("cursor", cursor)]
        return f"{self.base}{_PATHS[version]}?{urlencode(asked)}"


def read_server(text: str, versions: tuple[int, ...]) -> Server:
    """Read a host as it is configured: `host`, `host:port`, or either after `ws://` or `wss://`.

    Raises:
        ConfigError: it is none of these.
    """
    whole = text.strip() if "://" in text else f"wss://{text.strip()}"
    try:
        parts = urlsplit(whole)
        good = parts.scheme in ("ws", "wss") and _HOST.fullmatch(parts.hostname or "") and parts.username is None
        good = good and parts.port != 0 and not (parts.path.strip("/") or parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good:
        expected = "expected a host, such as jetstream.us-east.bsky.network or ws://127.0.0.1:6008"
        raise ConfigError(f"source.bluesky.hosts: found {ascii(text)[:80]}, {expected}")
    return Server(parts.netloc, f"{parts.scheme}://{parts.netloc}", versions)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the stream of a server somebody stands: after the event of time `micros` (since 1970).

    `nth`: how many events of that very microsecond have come. `seq` is the number of the event at this server, 0 where
    it gives none. The time holds at any server, roughly; the number at this one alone, exactly. A place that is of no
    server, only a time, is of `NOWHERE`.
    """

    micros: int
    nth: int
    version: int
    seq: int
    server: str

    @property
    def told(self) -> str:
        """Where it is, for people: to the second, and at which server."""
        where = "" if self.server == NOWHERE else f" at {self.server}"
        return f"{moment_of(self.micros):%Y-%m-%d %H:%M:%S} UTC{where}"

    def __str__(self) -> str:
        return f"{self.micros} {self.nth} {self.version} {self.seq} {self.server}"


def read_place(cursor: str) -> Place | None:
    """Read a place from a cursor; None where it is none."""
    match = _PLACE.fullmatch(cursor)
    if match is None or int(match[1]) > _MAX_MICROS:
        return None
    return Place(int(match[1]), int(match[2]), int(match[3]), int(match[4]), match[5])


Kind = Literal["create", "update", "delete", "account", "identity", "other"]


@dataclass(slots=True)
class StreamEvent:
    """One event. `micros` is when the server witnessed it, `seq` its number there (0: none).

    Of a commit: `rkey`, `rev` and the `record` (of any type). Of an account: `active` and `status`. Of an identity:
    `handle`. `stamp` is when the network says that an account or identity changed. "other" is what nobody asked for.
    """

    kind: Kind
    did: str
    micros: int
    seq: int = 0
    rkey: str = ""
    rev: str = ""
    record: object = None
    active: bool = True
    status: str = ""
    handle: str = ""
    stamp: str = ""

    @property
    def uri(self) -> str:
        """The at-uri of the record."""
        return f"at://{self.did}/{COLLECTION}/{self.rkey}"

    @property
    def key(self) -> int:
        """What is the same for the same event at every server, as a hash of this process."""
        return hash((self.did, self.rkey, self.rev, self.stamp, self.kind))

    @property
    def at(self) -> datetime:
        """When the server witnessed it."""
        return moment_of(self.micros)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the server says about the stream itself, before its events: OutdatedCursor or FutureCursor."""

    name: str


def read_frame(raw: bytes) -> StreamEvent | Notice:
    """Read one frame of either version.

    Raises:
        BadFrame: it is not what the protocol says, or too large.
        StreamError: the server ends the stream.
    """
    if len(raw) > MAX_FRAME_BYTES:
        raise BadFrame(f"found {len(raw):,} bytes in a frame, expected at most {MAX_FRAME_BYTES:,}")
    try:
        # UTF-8 it must be; left to find the encoding by itself, `json` reads UTF-16 too.
        frame = json.loads(raw.decode("utf-8"))
    except RecursionError as exc:
        raise BadFrame(f"found a frame of {len(raw):,} bytes that is nested too deep") from exc
    except ValueError as exc:
        raise BadFrame(f"found a frame of {len(raw):,} bytes that is no JSON") from exc
    if not isinstance(frame, dict):
        raise BadFrame("found a frame that is no JSON object")
    try:
        kind = frame.get("$type")
        if kind == "message":
            return _read_v2(frame["payload"])
        if kind == "error":
            raise StreamError(_name(frame.get("error")))
        return _read_v1(frame)
    except KeyError as exc:
        # The name is one that we asked for.
        raise BadFrame(f"found an event without `{exc.args[0]}`, expected what every event has") from exc
    except _Wrong as exc:
        raise BadFrame(f"found an event whose `{exc}` cannot be read") from exc
    except (TypeError, AttributeError, ValueError, OverflowError) as exc:
        raise BadFrame("found an event of another form than the protocol says") from exc


def _read_v1(frame: dict[str, Any]) -> StreamEvent:
    kind, micros, seq = frame["kind"], _micros(frame["time_us"]), _seq(frame.get("cursor", 0))
    if kind == "commit":
        return _commit(frame["commit"], _did(frame["did"]), micros, seq)
    return _other(kind, frame, micros, seq)


def _read_v2(payload: dict[str, Any]) -> StreamEvent | Notice:
    kind = payload["$type"].rpartition("#")[2]
    if kind == "info":
        return Notice(_name(payload["name"]))
    # The time of the event may be one that was imported; only this one holds as a place in the stream.
    stamp = payload.get("witnessedAt") or payload["time"]
    micros, seq = _micros(micros_of(_aware(stamp))), _seq(payload["seq"])
    if kind == "commit":
        return _commit(payload, _did(payload["did"]), micros, seq)
    return _other(kind, payload, micros, seq)


def _commit(commit: dict[str, Any], did: str, micros: int, seq: int) -> StreamEvent:
    operation = commit["operation"]
    if commit["collection"] != COLLECTION or operation not in _OPERATIONS:
        return StreamEvent("other", did, micros, seq)
    rkey, rev = commit["rkey"], commit["rev"]
    if not (_KEY.fullmatch(rkey) and _KEY.fullmatch(rev)):
        # No app can show what has no address.
        return StreamEvent("other", did, micros, seq)
    return StreamEvent(operation, did, micros, seq, rkey, rev, commit.get("record"))


def _other(kind: object, frame: dict[str, Any], micros: int, seq: int) -> StreamEvent:
    did = _did(frame["did"])
    if kind == "account":
        account = frame["account"]
        if not isinstance(account["active"], bool):
            raise _Wrong("active")
        status = account.get("status")
        return StreamEvent(
            "account",
            did,
            micros,
            seq,
            active=account["active"],
            status=status if isinstance(status, str) else "",
            stamp=f"{account.get('time', micros)} {account['active']} {status}"[:200],
        )
    if kind == "identity":
        identity = frame["identity"]
        handle = identity.get("handle")
        handle = handle if isinstance(handle, str) and _HANDLE.fullmatch(handle) else ""
        return StreamEvent("identity", did, micros, seq, handle=handle, stamp=str(identity.get("time", micros))[:64])
    return StreamEvent("other", did, micros, seq)


def _did(value: str) -> str:
    if not _DID.fullmatch(value):
        raise _Wrong("did")
    return value


def _micros(value: int) -> int:
    if type(value) is not int or not 0 < value <= _MAX_MICROS:
        raise _Wrong("time")
    return value


def _seq(value: int) -> int:
    if type(value) is not int or not 0 <= value < _MAX_SEQ:
        raise _Wrong("seq")
    return value


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _name(value: object) -> str:
    """Give the name of an error or a notice as it may be shown."""
    return "".join(sign for sign in str(value)[:60] if sign.isascii() and sign.isalnum()) or "unnamed"


def error_name(body: bytes) -> str:
    """Give the name of the error in an answer that refused the connection; "" where it names none."""
    try:
        found = json.loads(body[:4096])
    except (ValueError, RecursionError):
        return ""
    return _name(found["error"]) if isinstance(found, dict) and "error" in found else ""
