"""Comments of YouTube, read as posts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from domain.errors import BadReason, BadRecord
from ingest.source import Item, RawPost


def comments_of(thread: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the comments of a thread, the first one first, with what the thread alone knows written into each."""
    about = _object(thread, "snippet")
    top = _object(about, "topLevelComment")
    if not top:
        yield {"id": thread.get("id")}
        return
    video = about.get("videoId")
    yield top | {"videoId": video, "totalReplyCount": about.get("totalReplyCount")}
    replies = _object(thread, "replies").get("comments")
    for reply in replies if isinstance(replies, list) else ():
        if isinstance(reply, dict):
            yield reply | {"videoId": video}


def replies_left_out(thread: Mapping[str, Any]) -> bool:
    """Tell whether the thread has more replies than it brought along."""
    total = _object(thread, "snippet").get("totalReplyCount")
    brought = _object(thread, "replies").get("comments")
    return isinstance(total, int) and total > (len(brought) if isinstance(brought, list) else 0)


def changed_at(comment: Mapping[str, Any]) -> int:
    """Give when a comment was last changed, in seconds since 1970; 0 where it does not say."""
    about = _object(comment, "snippet")
    return max(_second(about.get("publishedAt")), _second(about.get("updatedAt")))


def published_at(thread: Mapping[str, Any]) -> int:
    """Give when the first comment of a thread was written, in seconds since 1970; 0 where it does not say."""
    return _second(_object(_object(_object(thread, "snippet"), "topLevelComment"), "snippet").get("publishedAt"))


def key_of(comment: Mapping[str, Any]) -> str:
    """Give what a comment is remembered by: its id, else its content."""
    name = comment.get("id")
    return name if isinstance(name, str) and name else str(ascii(comment))[:2_000]


def item_of(comment: Mapping[str, Any], cursor: str) -> Item:
    """Read a comment."""
    raw = json.dumps(comment, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Item(position=f"youtube:{comment.get('id')}"[:200], cursor=cursor, raw=raw, content=_content(comment))


def _content(comment: Mapping[str, Any]) -> RawPost | BadRecord:
    about = _object(comment, "snippet")
    name, video = comment.get("id"), comment.get("videoId") or about.get("videoId")
    if not isinstance(name, str) or not name:
        return BadRecord(BadReason.MISSING_ID, "id: is absent")
    author, parent = about.get("authorDisplayName"), about.get("parentId")
    is_handle = isinstance(author, str) and author.startswith("@")
    updated = about.get("updatedAt")
    fields = {
        "id": name,
        "text": about.get("textDisplay"),
        "title": comment.get("videoTitle"),
        "url": f"https://www.youtube.com/watch?v={video}&lc={name}" if video else None,
        "kind": "reply" if parent else "comment",
        "author_id": _object(about, "authorChannelId").get("value"),
        "author_handle" if is_handle else "author_name": author,
        "published_at": about.get("publishedAt"),
        "edited_at": updated if updated != about.get("publishedAt") else None,
        "likes": about.get("likeCount"),
        "replies": comment.get("totalReplyCount"),
        "thread_id": parent or name,
        "reply_to": parent,
    }
    return RawPost(
        fields={key: value for key, value in fields.items() if value is not None},
        attrs={"video_id": video} if video else {},
        html=False,
    )


def _object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _second(value: object) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) if moment is not None else 0
    except (ValueError, OverflowError):
        return 0
