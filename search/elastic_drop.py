"""Retention in Elasticsearch: whole months go, and with them what the stories kept of their posts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from search.elastic_document import AS_WRITTEN
from search.elastic_http import Elastic
from search.elastic_months import Month, find_months
from search.elastic_reads import WHOLE, refresh, scan
from search.elastic_settings import ElasticSettings, Names
from search.elastic_write import Writer
from search.keywords import folded

_POSTS_AT_ONCE: Final = 500
# A post has a mention for each of its brands.
_MOST_MENTIONS: Final = 10_000
_POST_ID: Final = ("post_id", f"{AS_WRITTEN}.post_id")


def months_before(elastic: Elastic, settings: ElasticSettings, before: datetime) -> list[Month]:
    """Give the months before the one that holds `before`, the oldest first."""
    first = before.strftime("%Y.%m")
    return [month for month in reversed(find_months(elastic, settings.names)) if month.month < first]


def drop_months(
    elastic: Elastic, writer: Writer, settings: ElasticSettings, before: datetime
) -> list[tuple[Month, int]]:
    """Remove whole months before the one that holds `before`; give each with how many posts of stories went with it.

    A story that has posts in months that stay is then told by the first of these. Tombstones stay: a replay may be
    older than what is kept. A run that was cut off is simply started again.

    Raises:
        AccessRefused, RetryLater, BackendDown.
    """
    names = settings.names
    months = months_before(elastic, settings, before)
    # Searched below, for what came a moment ago too.
    refresh(elastic, names.mentions, patient=True)
    gone = []
    for month in months:
        held = (month.index, *month.rivals)
        # While the month can still tell which posts it has.
        posts = sum(
            writer.remove_from_stories(_without_mentions_elsewhere(elastic, names, part, months))
            for index in held
            for part in _posts_of(elastic, index)
        )
        for index in (*month.leftover, *held):
            elastic.ask("DELETE", f"/{index}", also=(404,), patient=True)
        gone.append((month, posts))
    writer.forget_months()
    return gone


def _posts_of(elastic: Elastic, index: str) -> Iterator[list[str]]:
    """Give the posts of an index, some at a time; one that has several mentions may come again."""
    found: set[str] = set()
    refresh(elastic, index, patient=True)
    for hit in scan(elastic, index, {"match_all": {}}, fields=_POST_ID):
        found.add(_post_id(hit))
        if len(found) == _POSTS_AT_ONCE:
            yield sorted(found)
            found.clear()
    yield sorted(found)


def _without_mentions_elsewhere(
    elastic: Elastic, names: Names, posts: Sequence[str], going: Sequence[Month]
) -> list[str]:
    """Leave out posts that have a mention in a month that stays."""
    indices = [index for month in going for index in (month.index, *month.rivals)]
    body = {
        "size": _MOST_MENTIONS,
        "query": {
            "bool": {
                "filter": [{"terms": {"post_id": sorted({folded(post_id) for post_id in posts})}}],
                "must_not": [{"terms": {"_index": indices}}],
            }
        },
        "_source": list(_POST_ID),
        "track_total_hits": False,
    }
    answer = elastic.ask("POST", f"/{names.mentions}/_search", body, parameters=WHOLE, patient=True)
    staying = {_post_id(hit) for hit in answer.body["hits"]["hits"]}
    return [post_id for post_id in posts if post_id not in staying]


def _post_id(hit: Mapping[str, Any]) -> str:
    source = hit["_source"]
    return str(source.get(AS_WRITTEN, {}).get("post_id") or source["post_id"])
