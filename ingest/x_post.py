"""A post of X as a raw post."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import BadReason, BadRecord
from ingest.source import RawPost

# Of X's ids, all but the last 22 bits are ms since this moment; smaller ones are from before that.
_EPOCH = datetime(2010, 11, 4, 1, 42, 54, 657_000, tzinfo=UTC)
_ID_BITS = 22
_LEAST_SNOWFLAKE = 10**15
_MAX_ID = 2**63
# Where X's code of a language is an old one.
_LANGUAGES = {"iw": "he", "in": "id", "und": None, "zxx": None, "qme": None, "qam": None, "qct": None, "qht": None}


def read_json(raw: bytes) -> Any:
    """Read JSON of X, or give None."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def dump(envelope: Any) -> bytes:
    """Write a post down as it is kept in a dead letter."""
    return json.dumps(envelope, ensure_ascii=False).encode("utf-8", "surrogatepass")


def as_id(value: object) -> str:
    """Give an id, or "" for what is none."""
    good = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 and int(value) < _MAX_ID
    return value if good and isinstance(value, str) else ""


def id_time(name: str) -> datetime | None:
    """Give the time at which an id was made; None for one from before 2010, or for none."""
    number = int(as_id(name) or 0)
    return _EPOCH + timedelta(milliseconds=number >> _ID_BITS) if number >= _LEAST_SNOWFLAKE else None


def rewound(name: str, seconds: float) -> str:
    """Give an id from so much before another."""
    number = int(as_id(name) or 0)
    return str(number - (int(seconds * 1000) << _ID_BITS)) if number >= _LEAST_SNOWFLAKE else name


def first_id(post: Mapping[str, Any]) -> str:
    """Give the id of the post before all its edits, by which it is known; "" when there is none."""
    history = post.get("edit_history_tweet_ids")
    if isinstance(history, Sequence) and not isinstance(history, str) and history and as_id(history[0]):
        return as_id(history[0])
    return as_id(post.get("id"))


def is_retweet(post: Mapping[str, Any]) -> bool:
    """Tell whether it only passes another post on, and so is none of its own."""
    return bool(_referenced(post, "retweeted"))


def read_post(envelope: Mapping[str, Any], *, seen_at: datetime | None) -> RawPost | BadRecord:
    """Give the raw post.

    Args:
        envelope: the post as `data`, its author, where asked for, among `includes.users`.
        seen_at: when its numbers of likes and the like were so; None when nobody knows any more.
    """
    post = envelope.get("data")
    if not isinstance(post, Mapping):
        return BadRecord(BadReason.NOT_AN_OBJECT, "data: is no object")
    first, current = first_id(post), as_id(post.get("id"))
    if not first or not current:
        return BadRecord(BadReason.MISSING_ID, "id: is absent, or no id of X")
    author = _author(envelope, post)
    counts = _mapping(post.get("public_metrics"))
    replied, quoted = _referenced(post, "replied_to"), _referenced(post, "quoted")
    language = post.get("lang")
    numbers = {
        "likes": counts.get("like_count"),
        "reposts": counts.get("retweet_count"),
        "replies": counts.get("reply_count"),
        "views": counts.get("impression_count"),
    }
    fields = {
        "id": first,
        "text": _text(post),
        "url": f"https://x.com/{author.get('username') or 'i'}/status/{current}",
        "kind": "reply" if replied else "post",
        "lang": _LANGUAGES.get(language, language) if isinstance(language, str) else None,
        "author_id": post.get("author_id"),
        "author_handle": author.get("username"),
        "author_name": author.get("name"),
        "author_followers": _mapping(author.get("public_metrics")).get("followers_count"),
        "reply_to": replied or None,
        "thread_id": post.get("conversation_id"),
        # Exact and of X itself; `created_at` of an edit is that of the edit.
        "published_at": id_time(first) or post.get("created_at"),
        "edited_at": id_time(current) if current != first else None,
        "hashtags": _hashtags(post),
        "links": [str(url.get("unwound_url") or url.get("expanded_url")) for url in _urls(post) if not _is_own(url)],
        **numbers,
        "engagement_at": seen_at if any(value is not None for value in numbers.values()) else None,
    }
    attrs = {"quoted": quoted, "sensitive": "true" if post.get("possibly_sensitive") is True else ""}
    return RawPost(
        fields={name: value for name, value in fields.items() if value is not None and value != []},
        attrs={name: value for name, value in attrs.items() if value},
    )


def _text(post: Mapping[str, Any]) -> object:
    """Give the whole text, without the short links that X puts at its end for pictures and quoted posts."""
    note = _mapping(post.get("note_tweet")).get("text")
    text = note if isinstance(note, str) and note else post.get("text")
    if not isinstance(text, str):
        return text
    for url in reversed(_urls(post)):
        short = url.get("url")
        if isinstance(short, str) and short and _is_own(url) and text.endswith(short) and text != short:
            text = text.removesuffix(short).rstrip()
    return text


def _urls(post: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the links of both texts, each once."""
    note = _mapping(_mapping(post.get("note_tweet")).get("entities")).get("urls")
    found = [*_list(_mapping(post.get("entities")).get("urls")), *_list(note)]
    urls = {str(url.get("url")): url for url in found if isinstance(url, Mapping)}
    return list(urls.values())[:50]


def _is_own(url: Mapping[str, Any]) -> bool:
    """Tell a link to a picture or a post on X itself."""
    target = str(url.get("expanded_url"))
    return "media_key" in url or target.startswith(("https://x.com/", "https://twitter.com/"))


def _hashtags(post: Mapping[str, Any]) -> list[str]:
    found = _list(_mapping(post.get("entities")).get("hashtags"))
    return [tag["tag"] for tag in found if isinstance(tag, Mapping) and isinstance(tag.get("tag"), str)]


def _author(envelope: Mapping[str, Any], post: Mapping[str, Any]) -> Mapping[str, Any]:
    users = _list(_mapping(envelope.get("includes")).get("users"))
    known = {user.get("id"): user for user in users if isinstance(user, Mapping) and isinstance(user.get("id"), str)}
    name = post.get("author_id")
    return known.get(name, {}) if isinstance(name, str) else {}


def _referenced(post: Mapping[str, Any], kind: str) -> str:
    for one in _list(post.get("referenced_tweets")):
        if isinstance(one, Mapping) and one.get("type") == kind:
            return as_id(one.get("id"))
    return ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
