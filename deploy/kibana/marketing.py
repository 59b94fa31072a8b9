"""The marketing dashboard: the measures of docs/measures.md, asked in Kibana."""

from __future__ import annotations

from typing import Final

from deploy.kibana.alerting import ALERT_LIST, ALERT_MARKS, ALERTS_OVER_TIME, RULES
from deploy.kibana.describe import Answers, Board, Control, Metric, Over, Panel, Placed, Search, Values, View

MENTIONS: Final = View(
    object_id="soundings-mentions",
    index="soundings-mentions",
    name="Mentions",
    time="published_at",
    # Text once more, folded and cut into tokens, and what only the store reads.
    hidden=("tokens", "signature", "spans", "as_written", "published_micros", "collected_micros"),
    links=("url",),
)

# In a language without a model a label is a guess: such mentions are shown apart, and are in no part of net sentiment.
JUDGED: Final = "sentiment_reliable : true"
NEGATIVE: Final = f"sentiment : negative and {JUDGED}"

COUNT: Final = Metric("count", "Mentions", "count")
POSTS: Final = Metric("posts", "Posts", "unique_count", "post_id")
STORIES: Final = Metric("stories", "Stories", "unique_count", "story_id")
NET: Final = Metric("net", "Net sentiment", "average", "sentiment_value", where=JUDGED, decimals=2)
NEGATIVES: Final = Metric("negatives", "Negative", "count", where=NEGATIVE)

TIME: Final = Over("time", "Published", "published_at")
BRAND: Final = Values("brand", "Brand", "brand_id", size=10)
FEELING: Final = Answers(
    "feeling",
    "Towards the brand",
    (
        ("negative", NEGATIVE),
        ("neutral", f"sentiment : neutral and {JUDGED}"),
        ("positive", f"sentiment : positive and {JUDGED}"),
        ("not judged", "sentiment_reliable : false"),
    ),
)


def _number(name: str, title: str, description: str, metric: Metric) -> Panel:
    return Panel(f"soundings-{name}", title, description, MENTIONS, "number", (metric,))


TOTAL: Final = _number("total", "Mentions", "A post about two brands is two mentions.", COUNT)
TOTAL_POSTS: Final = _number("total-posts", "Posts", "Different posts; estimated above some 3,000.", POSTS)
TOTAL_STORIES: Final = _number("total-stories", "Stories", "Posts that say nearly the same are one story.", STORIES)
TOTAL_NET: Final = _number(
    "net-sentiment",
    "Net sentiment",
    "(positive - negative) / reliable mentions, from -1 to 1: the average of sentiment_value.",
    NET,
)

VOLUME: Final = Panel(
    "soundings-volume",
    "Mentions over time by sentiment",
    "Feeling towards the brand. Not judged: the language has no model. Marks are alerts.",
    MENTIONS,
    "bar_stacked",
    (COUNT,),
    (FEELING, TIME),
    marks=(ALERT_MARKS,),
)
NET_OVER_TIME: Final = Panel(
    "soundings-net-over-time",
    "Net sentiment over time by brand",
    "Few mentions move it far; see the number of mentions beside it.",
    MENTIONS,
    "line",
    (NET,),
    # By name: the five most would be the five best liked.
    (Values("brand", "Brand", "brand_id", size=10, by_name=True), TIME),
)
SHARE: Final = Panel(
    "soundings-share-of-voice",
    "Share of voice",
    "A brand's mentions among those of all brands shown.",
    MENTIONS,
    "donut",
    (COUNT,),
    (BRAND,),
)
BRANDS: Final = Panel(
    "soundings-brands",
    "Brands side by side",
    "Volume, posts, stories and net sentiment of each brand.",
    MENTIONS,
    "table",
    (COUNT, POSTS, STORIES, NEGATIVES, NET),
    (BRAND,),
)
AUTHORS: Final = Panel(
    "soundings-authors",
    "Authors",
    "Who wrote most. Handles are folded: upper and lower case are one author.",
    MENTIONS,
    "table",
    (COUNT, NEGATIVES, NET),
    (Values("author", "Author", "author_handle", size=20),),
)
HASHTAGS: Final = Panel(
    "soundings-hashtags",
    "Hashtags",
    "A mention with three hashtags counts for each of them.",
    MENTIONS,
    "bar_horizontal",
    (COUNT,),
    (Values("hashtag", "Hashtag", "hashtags", size=15),),
)
WORDS: Final = Panel(
    "soundings-words",
    "Words",
    "Content words, at most 40 of a mention.",
    MENTIONS,
    "cloud",
    (COUNT,),
    (Values("word", "Word", "words", size=50),),
)
STORY_TABLE: Final = Panel(
    "soundings-stories",
    "Stories",
    "What was told most often; the search story:<id> of the page shows its posts.",
    MENTIONS,
    "table",
    (COUNT, POSTS, NET, Metric("first", "First seen", "min", "published_at", kind="date")),
    (Values("story", "Story", "story_id", size=20),),
)
SOURCES: Final = Panel(
    "soundings-sources",
    "Sources",
    "Where it was posted.",
    MENTIONS,
    "bar_horizontal",
    (COUNT,),
    (Values("source", "Source", "source", size=10),),
)

_FEED_COLUMNS = ("brand", "source", "author_handle", "title", "text", "sentiment_score", "url")

ALL_MENTIONS: Final = Search(
    "soundings-search-all",
    "All mentions",
    "Newest first. Plain words search title and text.",
    MENTIONS,
    ("sentiment", *_FEED_COLUMNS),
)
NEGATIVE_FEED: Final = Search(
    "soundings-search-negative",
    "Negative mentions",
    "Negative towards the brand, in a language with a model.",
    MENTIONS,
    _FEED_COLUMNS,
    where=NEGATIVE,
)
NOT_JUDGED: Final = Search(
    "soundings-search-not-judged",
    "Mentions not judged",
    "In a language without a model: in the volume, in no net sentiment.",
    MENTIONS,
    ("lang", *_FEED_COLUMNS),
    where="sentiment_reliable : false",
)

MARKETING: Final = Board(
    object_id="soundings-marketing",
    title="Soundings: brands",
    description="What is said about the brands, and how it feels towards them",
    span="now-7d",
    refresh_seconds=0,
    placed=(
        Placed(TOTAL, 0, 0, 12, 6),
        Placed(TOTAL_POSTS, 12, 0, 12, 6),
        Placed(TOTAL_STORIES, 24, 0, 12, 6),
        Placed(TOTAL_NET, 36, 0, 12, 6),
        Placed(VOLUME, 0, 6, 32, 13),
        Placed(SHARE, 32, 6, 16, 13),
        Placed(NET_OVER_TIME, 0, 19, 24, 12),
        Placed(BRANDS, 24, 19, 24, 12),
        Placed(ALERTS_OVER_TIME, 0, 31, 24, 12),
        Placed(RULES, 24, 31, 24, 12),
        Placed(WORDS, 0, 43, 24, 13),
        Placed(HASHTAGS, 24, 43, 12, 13),
        Placed(SOURCES, 36, 43, 12, 13),
        Placed(AUTHORS, 0, 56, 24, 13),
        Placed(STORY_TABLE, 24, 56, 24, 13),
        Placed(ALERT_LIST, 0, 69, 48, 12),
        Placed(NEGATIVE_FEED, 0, 81, 48, 18),
    ),
    controls=(
        Control("brand", "Brand", MENTIONS, "brand_id"),
        Control("source", "Source", MENTIONS, "source"),
        Control("lang", "Language", MENTIONS, "lang"),
        Control("campaign", "Campaign", MENTIONS, "campaigns"),
    ),
)
