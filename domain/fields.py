"""The fields of the index, once: both stores' schemas, the query language and the docs read this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FieldKind = Literal["text", "keyword", "integer", "number", "date", "boolean"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field that can be searched.

    `name` is the attribute of `Mention` and the field of the index; `aliases` are what a query may say too.
    `live` fields are known before enrichment, so a brand's query may use them. `facet` fields may be
    counted by value. Keyword values are compared folded (`domain.text.fold`).
    """

    name: str
    kind: FieldKind
    meaning: str
    aliases: tuple[str, ...] = ()
    live: bool = False
    facet: bool = False
    multiple: bool = False


FIELDS: tuple[Field, ...] = (
    Field("tokens", "text", "title and text; what a bare word searches", aliases=("text",), live=True),
    Field("mention_id", "keyword", "id of the mention"),
    Field("post_id", "keyword", "id of the post"),
    Field("brand_id", "keyword", "slug of the brand", aliases=("brand",), facet=True),
    Field("source", "keyword", "where it was posted", live=True, facet=True),
    Field("kind", "keyword", "post, reply, article, comment", facet=True),
    Field("domains", "keyword", "domains linked to", aliases=("domain",), live=True, facet=True, multiple=True),
    Field(
        "lang",
        "keyword",
        "language: declared by the source in a brand's query, found in a search",
        aliases=("language",),
        live=True,
        facet=True,
    ),
    Field("author_id", "keyword", "the source's id of the author"),
    Field("author_handle", "keyword", "handle of the author, without @", aliases=("author",), live=True, facet=True),
    Field("author_followers", "integer", "followers of the author", aliases=("followers",)),
    Field("reply_to", "keyword", "id of the post that this one answers"),
    Field("thread_id", "keyword", "id of the conversation", aliases=("thread",)),
    Field("published_at", "date", "when it was published (UTC)", aliases=("published", "date")),
    Field("collected_at", "date", "when it was collected (UTC)", aliases=("collected",)),
    Field("sentiment", "keyword", "towards the brand: negative, neutral, positive", facet=True),
    Field("sentiment_value", "integer", "-1, 0, 1", facet=True),
    Field("sentiment_score", "number", "p_positive - p_negative, in [-1, 1]", aliases=("score",)),
    Field("sentiment_expected", "number", "expected feeling towards the brand, in [-2, 2]", aliases=("expected",)),
    Field("sentiment_reliable", "boolean", "the language has a model", aliases=("reliable",), facet=True),
    Field("post_sentiment", "keyword", "of the whole post", facet=True),
    Field("model", "keyword", "model that tagged it", facet=True),
    Field("truncated", "boolean", "the model read only the beginning"),
    Field(
        "hashtags", "keyword", "hashtags, without #", aliases=("hashtag", "tag"), live=True, facet=True, multiple=True
    ),
    Field("words", "keyword", "content words, at most 40", facet=True, multiple=True),
    Field("campaigns", "keyword", "tracked campaigns", aliases=("campaign",), facet=True, multiple=True),
    Field("likes", "integer", "likes, where a source gives them"),
    Field("reposts", "integer", "reposts, where a source gives them"),
    Field("replies", "integer", "replies, where a source gives them"),
    Field("views", "integer", "views, where a source gives them"),
    Field("story_id", "keyword", "story of near-duplicates", aliases=("story",), facet=True),
    Field("location", "keyword", "where the author says to be", facet=True),
    Field("backfilled", "boolean", "collected after the fact"),
)

_BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}


def find_field(name: str) -> Field | None:
    """Give the field that a query calls `name` (either its name or an alias, any case), or None."""
    return _BY_NAME.get(name.lower())


def query_names() -> tuple[str, ...]:
    """Give every name that a query may use, for completion and for nearest-name hints."""
    return tuple(_BY_NAME)
