"""What somebody wants forgotten, in the records that the log of one machine keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from domain import ids
from domain.errors import BadRecord
from domain.records import AuthorRetraction, MatchedPost, Mention, Post, Retraction, Topic
from service.forget import ForgetRequest
from stream.codec import decode, encode
from stream.embedded import EmbeddedLog
from stream.embedded_overwrite import overwrite

_TOPICS = (Topic.POSTS.value, Topic.MENTIONS.value)


def overwrite_records(log: EmbeddedLog, request: ForgetRequest, now: datetime, looked: Callable[[], None]) -> bool:
    """Put a retraction in the place of each record that holds a post that a request is about.

    Whoever reads the log from its beginning some day meets that, which changes nothing. Of an author's posts it names
    the author.

    Args:
        log: with the records.
        request: what it is about.
        now: when that is.
        looked: called now and then; what it raises ends the work.

    Returns:
        False where a reader of the log has not come past some of them: ask again in a moment.

    Raises:
        BackendDown: the disk is full or broken.
    """
    wanted = request.author_id or ""
    needles = (wanted.encode("utf-8", "surrogatepass"), json.dumps(wanted)[1:-1].encode())

    def instead(key: str, value: bytes) -> bytes | None:
        if request.author_id is None and key != request.key:
            return None
        if request.author_id is not None and not any(needle in value for needle in needles):
            return None
        post_id = _post_of(value, request)
        if post_id is None:
            return None
        source, reason, by = request.source, request.reason, request.asked_by
        if request.author_id is None:
            return encode(Retraction(post_id=post_id, source=source, retracted_at=now, reason=reason, asked_by=by))
        # Of the author, so that `soundings trace` can still tell why a post is gone.
        key = request.key
        return encode(AuthorRetraction(author_key=key, source=source, retracted_at=now, reason=reason, asked_by=by))

    return not sum(overwrite(log, topic, instead, looked).left for topic in _TOPICS)


def _post_of(value: bytes, request: ForgetRequest) -> str | None:
    """Give the id of the post that a record holds, where a request is about it."""
    try:
        record = decode(value)
    except BadRecord:
        return None
    said = record.post if isinstance(record, MatchedPost) else record
    if not isinstance(said, Post | Mention):
        return None
    is_theirs = said.author_id is not None and ids.author_key(said.source, said.author_id) == request.key
    return said.post_id if request.author_id is None or is_theirs else None
