"""Engagement in Elasticsearch: new numbers in documents of mentions, under the version that they have.

A document is read and written over the same version, never over a higher one. What another worker does in between is
looked for afterwards: what it wrote gets the numbers too, and a story that it moved is moved again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from domain.engagement import Engagement
from domain.errors import BackendDown, BadRecord
from domain.records import Mention
from search.elastic_bulk import Applied, Bulk, Op
from search.elastic_document import AS_WRITTEN, STORY_ID, mention_of
from search.elastic_http import Elastic
from search.elastic_reads import ALL_FIELDS, WHOLE, Found, Wanted, get_many, refresh
from search.elastic_settings import Names
from search.elastic_stories import ElasticShelf
from search.engagement import is_news
from search.keywords import folded
from search.stories import ShinglesCache
from stream.codec import to_json

_POSTS_A_SEARCH: Final = 100
_MOST_MENTIONS: Final = 10_000
_ENGAGEMENT_AT: Final = "engagement_at"


class Engaging:
    """Gives posts new numbers, once. `changed` are the mentions that got them, by id."""

    def __init__(
        self, elastic: Elastic, bulk: Bulk, names: Names, cache: ShinglesCache, posts: Mapping[str, Engagement]
    ) -> None:
        self._elastic, self._bulk, self._names, self._cache = elastic, bulk, names, cache
        self._posts = posts
        self.changed: dict[str, Mention] = {}

    def run(self) -> None:
        """Write them.

        Raises:
            RetryLater, BackendDown: some may have been written.
        """
        refresh(self._elastic, self._names.mentions, patient=True)
        post_ids = list(self._posts)
        for start in range(0, len(post_ids), _POSTS_A_SEARCH):
            wanted = self._mentions_of(post_ids[start : start + _POSTS_A_SEARCH])
            # The second time finds what came between reading and writing the first time.
            for _ in range(2):
                if wanted:
                    self._write(wanted)

    def _mentions_of(self, post_ids: Sequence[str]) -> list[tuple[str, Wanted]]:
        """Find the documents of posts, each with its post."""
        body = {
            "size": _MOST_MENTIONS,
            "query": {"terms": {"post_id": sorted({folded(post_id) for post_id in post_ids})}},
            "_source": ["post_id", f"{AS_WRITTEN}.post_id"],
            "track_total_hits": False,
        }
        path = f"/{self._names.mentions}/_search"
        answer = self._elastic.ask("POST", path, body, parameters=WHOLE, patient=True)
        found = []
        for hit in answer.body["hits"]["hits"]:
            post_id = hit["_source"].get(AS_WRITTEN, {}).get("post_id") or hit["_source"]["post_id"]
            if post_id in self._posts:
                found.append((post_id, Wanted(hit["_index"], hit["_id"], ALL_FIELDS)))
        return found

    def _write(self, wanted: Sequence[tuple[str, Wanted]]) -> None:
        shelf = ElasticShelf(self._elastic, self._names, self._cache)
        posts = list(dict.fromkeys(post_id for post_id, _ in wanted))
        asked = [*(shelf.wanted(post_id) for post_id in posts), *(one for _, one in wanted)]
        answers = get_many(self._elastic, asked, patient=True)
        for post_id, place in zip(posts, answers[: len(posts)], strict=True):
            shelf.know(post_id, place)
        sent: list[tuple[Op, Mention]] = []
        for (post_id, _), found in zip(wanted, answers[len(posts) :], strict=True):
            document = None if found is None else self._document(post_id, found, shelf)
            if found is not None and document is not None:
                # Over the same version, and never over one that came meanwhile.
                index = self._names.written(found.index)
                op = Op("index", index, found.doc_id, to_json(document), found.version, strictly=False)
                sent.append((op, mention_of(document)))
        for (_, mention), outcome in zip(sent, self._bulk.write([op for op, _ in sent]), strict=True):
            if isinstance(outcome, BadRecord):
                raise BackendDown(f"engagement cannot be written: {outcome.detail}. Run `soundings setup`")
            if isinstance(outcome, Applied):
                self.changed[mention.mention_id] = mention

    def _document(self, post_id: str, found: Found, shelf: ElasticShelf) -> dict[str, Any] | None:
        """Give the document as it must be; None where it is that already."""
        document = dict(found.source)
        engagement, known = self._posts[post_id], document.get(_ENGAGEMENT_AT)
        news = is_news(engagement, None if known is None else datetime.fromisoformat(known))
        place = shelf.place(post_id)
        # Of what is written here alone; and the index of stories is what counts.
        moved = place is not None and document.get(STORY_ID) != place.story_id
        if not news and not (moved and found.doc_id in self.changed):
            return None
        if moved and place is not None:
            document[STORY_ID] = place.story_id
        if news:
            for name in ("likes", "reposts", "replies", "views"):
                document.pop(name, None)
                if (number := getattr(engagement, name)) is not None:
                    document[name] = number
            document[_ENGAGEMENT_AT] = engagement.at.isoformat()
        return document
