"""The store in Elasticsearch: one index a month, any number of processes that write and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from domain.aggregation import Aggregation, Result
from domain.clock import Clock, SystemClock, from_ms
from domain.engagement import Engagement
from domain.errors import BackendDown, BadRecord
from domain.listening import SourceReport
from domain.query.ast import Keyword, Node
from domain.records import Event, Mention
from search import elastic_aggregations, elastic_drop, elastic_setup
from search.cursor import decode_cursor, encode_cursor, position_of
from search.elastic_bulk import Bulk
from search.elastic_document import EVENT_AT, mention_of
from search.elastic_http import Elastic
from search.elastic_listening import gaps_body, gaps_of, ops_of, reports_of, sources_body
from search.elastic_query import compile as compile_node
from search.elastic_reads import ALL_FIELDS, WHOLE, Wanted, get_many, month_indices, refresh, scan
from search.elastic_retractions import Stones, forbidden_of
from search.elastic_settings import ElasticSettings, Names
from search.elastic_stories import story_post_of
from search.elastic_write import Writer
from search.keywords import folded
from search.listening import GapReport
from search.retractions import MAX_ROWS, Record, RetractionRow, Stone, row_of_document
from search.store import MAX_PAGE, SearchPage, SearchRequest, Sort, Story, Written
from search.transfer import Piece, StoryPost

# A post has a mention for each of its brands.
_MOST_OF_A_POST: Final = 1_000


class ElasticStore:
    """`search.store.Store` over Elasticsearch. Thread-safe, and safe beside other processes.

    Writes are durable when `write` returns, and found by searches within `refresh_seconds`. What was removed is found
    by none once `write` has returned. With one process that writes, stories are exact; of several, two that meet the
    same new story at the same moment agree on one (decision 0010).
    """

    def __init__(self, settings: ElasticSettings, clock: Clock | None = None) -> None:
        """Use `open`."""
        self._settings, self._names = settings, settings.names
        self._elastic = Elastic(settings, clock)
        self._bulk = Bulk(self._elastic, settings)
        self._writer = Writer(self._elastic, self._bulk, settings, clock or SystemClock())

    @classmethod
    def open(cls, settings: ElasticSettings, *, read_only: bool = False, clock: Clock | None = None) -> ElasticStore:
        """Open the store; one that writes first looks whether `soundings setup` has run.

        Args:
            settings: where it is.
            read_only: connects at the first question and not before.
            clock: for pauses between retries.

        Raises:
            ConfigError: settings that cannot be used, or no setup.
            RetryLater: Elasticsearch does not answer now.
            BackendDown: it refuses.
        """
        store = cls(settings, clock)
        if not read_only:
            try:
                elastic_setup.check_ready(store._elastic, settings)
            except BaseException:
                store.close()
                raise
        return store

    @property
    def elastic(self) -> Elastic:
        """The connection, for what is not of the store: setup, health documents, doctor."""
        return self._elastic

    @property
    def names(self) -> Names:
        """The names of its indices."""
        return self._names

    @property
    def bulk(self) -> Bulk:
        """The bulk caller, likewise."""
        return self._bulk

    def close(self) -> None:
        self._bulk.close()
        self._elastic.close()

    # --- writing

    def write(
        self, records: Sequence[Record], *, encoded: Sequence[bytes] | None = None
    ) -> Sequence[Written | BadRecord]:
        # A document of the index has more fields than a mention: it is written anew.
        return self._writer.write(records)

    def engage(self, posts: Mapping[str, Engagement]) -> int:
        return self._writer.engage(posts)

    def refresh(self) -> None:
        for index in (self._names.mentions, self._names.stories, self._names.events):
            refresh(self._elastic, index)

    def drop_months(self, before: datetime) -> dict[str, int]:
        """Remove whole months before the one that holds `before`.

        Gives them as `YYYY.MM`, each with how many posts of stories went with it: see `search.elastic_drop`.
        """
        gone = elastic_drop.drop_months(self._elastic, self._writer, self._settings, before)
        return {month.month: posts for month, posts in gone}

    def adopt(self, posts: Sequence[StoryPost]) -> None:
        """See `search.transfer.Transferable`."""
        self._writer.adopt(posts)

    def keep_rows(self, rows: Sequence[RetractionRow]) -> None:
        """See `search.transfer.Transferable`."""
        self._writer.keep_rows(rows)

    def dump(self) -> Iterator[Piece]:
        """See `search.transfer.Transferable`."""
        self.refresh()
        for hit in scan(self._elastic, self._names.stories, {"term": {"kind": "post"}}):
            yield story_post_of(hit["_source"])
        for hit in scan(self._elastic, self._names.mentions, {"match_all": {}}):
            yield mention_of(hit["_source"])
        # Last, so that what went meanwhile is among them.
        refresh(self._elastic, self._names.tombstones)
        # What is back first: else what came since would go where this is read in.
        back = {"term": {"kind": "restoration"}}
        for query in (back, {"bool": {"must_not": [back]}}):
            for hit in scan(self._elastic, self._names.tombstones, query):
                yield forbidden_of(hit["_source"])
        refresh(self._elastic, self._names.retractions)
        for hit in scan(self._elastic, self._names.retractions, {"match_all": {}}):
            yield row_of_document(hit["_source"])

    # --- reading

    def get(self, mention_id: str) -> Mention | None:
        # Its month is not in its id: asked for in each, which is one request for a handful of documents.
        indices = month_indices(self._elastic, self._names)
        wanted = [Wanted(index, mention_id, ALL_FIELDS) for index in indices]
        for found in get_many(self._elastic, wanted):
            if found is not None:
                return mention_of(found.source)
        return None

    def retracted_at(self, post_id: str) -> datetime | None:
        stone = Stones.of_posts(self._elastic, self._names.tombstones, [post_id]).posts.get(post_id, Stone())
        return from_ms(stone.retracted_ms) if stone.blocks and stone.retracted_ms is not None else None

    def retractions(self, limit: int = MAX_ROWS, *, done_since: datetime | None = None) -> Sequence[RetractionRow]:
        refresh(self._elastic, self._names.retractions)
        query: dict[str, Any] = {"match_all": {}}
        if done_since is not None:
            query = {"range": {"done_at": {"gte": done_since.isoformat()}}}
        body = {"query": query, "sort": [{"asked_at": "desc"}, {"row_id": "desc"}], "size": limit}
        return [row_of_document(hit["_source"]) for hit in self._search(body, self._names.retractions)["hits"]["hits"]]

    def count(self) -> int:
        # A count sees what was refreshed.
        refresh(self._elastic, self._names.mentions)
        return self._total({"match_all": {}})

    def search(self, request: SearchRequest) -> SearchPage:
        if not 1 <= request.limit <= MAX_PAGE:
            raise ValueError(f"limit must be in [1, {MAX_PAGE}], found {request.limit}")
        direction = "desc" if request.sort is Sort.NEWEST else "asc"
        body: dict[str, Any] = {
            "query": _filter(request.node),
            "sort": [{EVENT_AT: direction}, {"mention_id": direction}],
            # One more tells whether there is another page.
            "size": request.limit + 1,
            "track_total_hits": True,
        }
        if request.cursor is not None:
            after = decode_cursor(request.cursor, request.sort)
            body["search_after"] = [after.ms, folded(after.mention_id)]
        hits = self._search(body)["hits"]
        mentions = [mention_of(hit["_source"]) for hit in hits["hits"][: request.limit]]
        more = len(hits["hits"]) > request.limit
        cursor = encode_cursor(request.sort, position_of(mentions[-1])) if more else None
        return SearchPage(tuple(mentions), hits["total"]["value"], cursor)

    def aggregate(self, node: Node, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
        return elastic_aggregations.aggregate(partial(self._counted, _filter(node)), aggregations)

    def note(self, events: Sequence[Event]) -> None:
        for outcome in self._bulk.write(ops_of(events, self._names.events), in_order=True):
            if isinstance(outcome, BadRecord):
                raise BackendDown(f"{outcome.detail}: the index of events is not as expected; run `soundings setup`")

    def sources(self) -> Sequence[SourceReport]:
        return reports_of(self._search(sources_body(), self._names.events)["hits"]["hits"])

    def gaps(self, start: datetime, end: datetime) -> Sequence[GapReport]:
        return gaps_of(self._search(gaps_body(start, end), self._names.events)["hits"]["hits"])

    def story(self, story_id: str) -> Story | None:
        for index in (self._names.stories, self._names.mentions):
            refresh(self._elastic, index)
        members = {"bool": {"filter": [{"term": {"kind": "post"}}, {"term": {"story_id": story_id}}]}}
        body = {
            "query": members,
            "sort": ["at_ms", "post_id"],
            "size": 1,
            "track_total_hits": True,
            "aggs": {"last": {"max": {"field": "at_ms"}}},
        }
        answer = self._search(body, self._names.stories)
        if not answer["hits"]["hits"]:
            return None
        first = answer["hits"]["hits"][0]["_source"]
        original = self._newest_of(first["post_id"])
        if original is None:
            return None
        return Story(
            story_id,
            original,
            posts=answer["hits"]["total"]["value"],
            mentions=self._total(_filter(Keyword("story_id", folded(story_id)))),
            first_at=from_ms(first["at_ms"]),
            last_at=from_ms(round(answer["aggregations"]["last"]["value"])),
        )

    def _newest_of(self, post_id: str) -> Mention | None:
        """Give the mention of a post with the highest version, of several the one with the lowest id."""
        body = {"query": _filter(Keyword("post_id", folded(post_id))), "size": _MOST_OF_A_POST}
        mentions = [mention_of(hit["_source"]) for hit in self._search(body)["hits"]["hits"]]
        ours = [one for one in mentions if one.post_id == post_id]
        return min(ours, key=lambda one: (-one.version, one.mention_id), default=None)

    def _total(self, query: Mapping[str, Any]) -> int:
        total: int = self._search({"query": query, "size": 0, "track_total_hits": True})["hits"]["total"]["value"]
        return total

    def _counted(
        self, query: Mapping[str, Any], requests: Mapping[str, Any]
    ) -> tuple[Mapping[str, elastic_aggregations.Answer], int]:
        answer = self._search({"query": query, "size": 0, "track_total_hits": True, "aggs": requests})
        if "aggregations" not in answer:
            # An alias without indices: there is nothing to count, and no answer that says so.
            return elastic_aggregations.nothing(requests), 0
        return answer["aggregations"], answer["hits"]["total"]["value"]

    def _search(self, body: Mapping[str, Any], index: str | None = None) -> Mapping[str, Any]:
        path = f"/{index or self._names.mentions}/_search"
        answer: Mapping[str, Any] = self._elastic.ask("POST", path, body, parameters=WHOLE).body
        return answer


def _filter(node: Node) -> dict[str, Any]:
    """Give a query as a filter: nothing is ranked by relevance, so nothing is scored."""
    return {"bool": {"filter": [compile_node(node)]}}
