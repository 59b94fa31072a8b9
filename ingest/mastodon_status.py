"""A status of Mastodon as a raw post: which are taken, and what of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from domain.errors import BadReason, BadRecord
from ingest.source import RawPost

Status = Mapping[str, Any]


def read_json(raw: bytes) -> Any:
    """Read JSON of a server, or give None."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def dump(status: Any) -> bytes:
    """Write a status down as it is kept in a dead letter."""
    return json.dumps(status, ensure_ascii=False).encode("utf-8", "surrogatepass")


def is_taken(status: Status, *, respect_noindex: bool) -> bool:
    """Tell whether a status is one of its own and may be kept.

    A reblog is none of its own. What is not public, or not to be discovered ("unlisted"), is never taken; nor, with
    `respect_noindex`, what an author wrote who asks not to be indexed.
    """
    account = status.get("account")
    if status.get("reblog") is not None or status.get("visibility", "public") != "public":
        return False
    return not (respect_noindex and isinstance(account, Mapping) and account.get("noindex") is True)


def uri_of(status: Status) -> str:
    """Give the ActivityPub address, by which a status is known on all instances; "" when there is none."""
    uri = status.get("uri")
    return uri if isinstance(uri, str) else ""


def local_id(status: Status) -> str:
    """Give the id that this instance alone uses; "" when there is none."""
    name = status.get("id")
    return name if isinstance(name, str) else ""


def revision_of(status: Status) -> str:
    """Give what tells an edit from the status before it."""
    return str(status.get("edited_at") or "")


def event_time(status: Status) -> datetime | None:
    """Give when it was edited or written."""
    for name in ("edited_at", "created_at"):
        value = status.get(name)
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                continue
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None


def read_status(
    status: Status, host: str, *, seen_at: datetime | None, uri_by_id: Callable[[str], str | None]
) -> RawPost | BadRecord:
    """Give the raw post.

    Args:
        status: as the instance gave it.
        host: the instance.
        seen_at: when its numbers of likes and the like were so; None when nobody knows any more.
        uri_by_id: the address of another status by its local id, where it is known.
    """
    uri = uri_of(status)
    if not uri:
        return BadRecord(BadReason.MISSING_ID, "uri: is absent")
    account = status.get("account")
    account = account if isinstance(account, Mapping) else {}
    parent = status.get("in_reply_to_id")
    counts = {
        "likes": status.get("favourites_count"),
        "reposts": status.get("reblogs_count"),
        "replies": status.get("replies_count"),
    }
    fields = {
        "id": uri,
        "text": status.get("content"),
        "title": status.get("spoiler_text"),
        "url": status.get("url") or uri,
        "kind": "post" if parent is None else "reply",
        "lang": status.get("language"),
        # The address of an account is the same on all instances; its id is not.
        "author_id": account.get("uri") or account.get("url"),
        "author_handle": _full_handle(account.get("acct"), host),
        "author_name": account.get("display_name"),
        "author_followers": account.get("followers_count"),
        "reply_to": uri_by_id(parent) if isinstance(parent, str) else None,
        "published_at": status.get("created_at"),
        "edited_at": status.get("edited_at"),
        "hashtags": _names(status.get("tags")),
        **counts,
        "engagement_at": seen_at if any(value is not None for value in counts.values()) else None,
    }
    attrs = {
        "instance": host,
        "local_id": local_id(status),
        "bot": account.get("bot"),
        "sensitive": status.get("sensitive"),
    }
    return RawPost(
        fields={name: value for name, value in fields.items() if value is not None},
        attrs={
            name: str(value).lower()
            for name, value in attrs.items()
            if isinstance(value, bool) or (value and isinstance(value, str))
        },
    )


def _full_handle(acct: object, host: str) -> object:
    """Give the handle with its instance: those who are at home write it without."""
    return f"{acct}@{host}" if isinstance(acct, str) and acct and "@" not in acct else acct


def _names(tags: object) -> list[str] | None:
    if not isinstance(tags, list):
        return None
    return [tag["name"] for tag in tags if isinstance(tag, Mapping) and isinstance(tag.get("name"), str)]
