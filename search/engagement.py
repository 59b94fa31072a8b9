"""Numbers of likes and the like that come later than their mention: what they change in it, in both stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from domain.engagement import Engagement
from domain.records import Mention


def is_news(engagement: Engagement, known_at: datetime | None) -> bool:
    """Tell whether numbers are newer than those that a mention has, which are as of `known_at`."""
    return engagement.tells and (known_at is None or engagement.at > known_at)


def engaged(mention: Mention, engagement: Engagement) -> Mention:
    """Give a mention with these numbers. They are of one moment: what is not among them is not known of it."""
    return replace(
        mention,
        likes=engagement.likes,
        reposts=engagement.reposts,
        replies=engagement.replies,
        views=engagement.views,
        engagement_at=engagement.at,
    )
