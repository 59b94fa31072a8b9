"""Holding posts that are kept against a brand's query: mentions that are missing are added, others withdrawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from domain.ids import MODEL_EPOCH_BITS
from domain.records import MatchedPost, Mention, Outcome, Post, Topic
from domain.text import index_token_texts
from ingest.ledger import LedgerPage, Seen
from stream.protocol import Count, OutRecord, Settlement

if TYPE_CHECKING:
    from ingest.stage import Matcher

STAGE = "ingest"


@dataclass(frozen=True, slots=True)
class Rematched:
    """What became of the posts of one page. `older`: a newer revision is known of them, whose text is not kept."""

    looked: int = 0
    added: int = 0
    withdrawn: int = 0
    older: int = 0

    def __add__(self, other: Rematched) -> Rematched:
        """Give both together."""
        return Rematched(
            self.looked + other.looked,
            self.added + other.added,
            self.withdrawn + other.withdrawn,
            self.older + other.older,
        )


def retained_post(mention: Mention) -> Post:
    """Give the post that a mention was made of, under the revision that it went on with.

    The language that the source declared is not kept; until the ledger says it, the one that was found stands for it.
    """
    handles = [token[1:] for token in index_token_texts(mention.title, mention.text) if token[0] == "@"]
    return Post(
        post_id=mention.post_id,
        source=mention.source,
        native_id=mention.post_id.removeprefix(f"{mention.source}:"),
        revision_ms=mention.version >> MODEL_EPOCH_BITS,
        text=mention.text,
        collected_at=mention.collected_at,
        routing_month=mention.routing_month,
        kind=mention.kind,
        title=mention.title,
        url=mention.url,
        declared_lang=None if mention.lang == "und" else mention.lang,
        author_id=mention.author_id,
        author_handle=mention.author_handle,
        author_name=mention.author_name,
        author_followers=mention.author_followers,
        reply_to=mention.reply_to,
        thread_id=mention.thread_id,
        published_at=mention.published_at,
        edited_at=mention.edited_at,
        hashtags=mention.hashtags,
        handles=tuple(dict.fromkeys(handles)),
        links=mention.links,
        domains=mention.domains,
        campaigns=mention.campaigns,
        likes=mention.likes,
        reposts=mention.reposts,
        replies=mention.replies,
        views=mention.views,
        engagement_at=mention.engagement_at,
        location=mention.location,
        # Found long after it was written: it is told to nobody as news.
        backfilled=True,
        attrs=mention.attrs,
    )


def rematch(
    brand_id: str,
    matcher: Matcher,
    retained: Sequence[Post],
    kept: Callable[[str], Sequence[Mention]],
    page: LedgerPage,
    run: str,
    source: str | None,
) -> tuple[Settlement, Rematched]:
    """Decide on posts; gives what goes on, without the rows of the ledger, which are put into `page`.

    See `IngestStage.rematch`, which holds the ledger's lock meanwhile.
    """
    outputs: list[OutRecord] = []
    counts: Counter[str] = Counter(looked=0)
    for given in retained:
        post = given
        known = page.get(post.post_id)
        if source is not None and reader_of(post, known) != source:
            continue
        counts["looked"] += 1
        seen = known or _row_of(post, kept(post.post_id))
        if seen.gone:
            continue
        if post.revision_ms < seen.passed_ms:
            # Perhaps another brand's mention has the newer text.
            post = max(map(retained_post, kept(post.post_id)), key=lambda one: one.revision_ms, default=post)
        if post.revision_ms < seen.passed_ms:
            counts["older"] += 1
            continue
        if seen.lang is not None:
            post = replace(post, declared_lang=seen.lang)
        matches = matcher.match(post)
        has = brand_id in seen.brand_ids
        behind = tuple(one for one in seen.behind if one != brand_id)
        if matches and not has:
            row = replace(seen, brand_ids=(*seen.brand_ids, brand_id), behind=behind)
            withdrawn: tuple[str, ...] = ()
            counts["added"] += 1
        elif not matches and (has or brand_id in seen.behind):
            left = tuple(one for one in seen.brand_ids if one != brand_id)
            row = replace(seen, brand_ids=left, behind=behind, flips=seen.flips + 1)
            withdrawn = (brand_id,)
            counts["withdrawn"] += 1
        else:
            continue
        page.put(post.post_id, row)
        passed = replace(post, revision_ms=seen.next_ms, routing_month=seen.routing_month or post.routing_month)
        content = MatchedPost(post=passed, matches=matches, withdrawn=withdrawn)
        outputs.append(OutRecord.of(content, Topic.POSTS.value, post.post_id, run))
    return Settlement(group=STAGE, outputs=outputs, counts=_books(run, len(outputs), counts["looked"])), Rematched(
        **counts
    )


def reader_of(post: Post, seen: Seen | None) -> str:
    """Give the source whose owner settles the row of a post."""
    return post.source if seen is None or seen.reader is None else seen.reader


def _books(run: str, passed: int, looked: int) -> list[Count]:
    numbers = {Outcome.OK: passed, Outcome.DUPLICATE: looked - passed}
    return [Count(STAGE, run, outcome, number) for outcome, number in numbers.items() if number]


def _row_of(post: Post, mentions: Sequence[Mention]) -> Seen:
    """Give the row of a post that the ledger does not know: its mentions were imported."""
    return Seen(
        revision_ms=post.revision_ms,
        brand_ids=tuple(mention.brand_id for mention in mentions),
        routing_month=post.routing_month,
        queries="",
    )
