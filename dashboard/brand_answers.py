"""The shapes of the JSON API that are about brands."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from dashboard.answers import Answer, MentionAnswer, WarningAnswer


class Body(BaseModel):
    """Parent of what is sent: an unknown field is a mistake of whoever sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewBrandBody(Body):
    """A brand to listen for."""

    name: str = Field(description="what it is called")
    query: str = Field(description="what finds it; see docs/query-language.md")
    brand_id: str | None = Field(default=None, description="a slug that never changes; made of the name by default")
    handles: list[str] = Field(default=[], description="its own, without @")
    competitors: list[str] = Field(default=[], description="ids of other brands")


class BrandChangeBody(Body):
    """What is to be different; what is left out stays. A brand of the configuration file takes `paused` alone."""

    name: str | None = None
    query: str | None = None
    handles: list[str] | None = None
    competitors: list[str] | None = None
    paused: bool | None = Field(default=None, description="true: it is matched no longer; its mentions stay")


class RematchAnswer(Answer):
    """How far the last rematch of a brand came."""

    query_revision: int = Field(description="of the query that the kept posts were held against")
    looked: int
    added: int
    withdrawn: int
    older: int = Field(description="left as they are: the text of their newest revision is not kept")
    done: bool


class BrandAnswer(Answer):
    """A brand that is listened for."""

    brand_id: str
    name: str
    query: str
    query_revision: int
    handles: list[str]
    competitors: list[str]
    mentions: int
    paused: bool = Field(description="it is matched no longer; its mentions stay")
    file: str = Field(description="the configuration that it is changed in; empty for one that was made here")
    rematch: RematchAnswer | None


class BrandsAnswer(Answer):
    """All brands: those of the configuration in its order, then those made here."""

    brands: list[BrandAnswer]


class ChangedBrandAnswer(Answer):
    """A brand as it is now, and what is odd about its query."""

    brand: BrandAnswer
    warnings: list[WarningAnswer]


class RemovedBrandAnswer(Answer):
    """A brand that is listened for no longer. Its mentions stay."""

    removed: str


class RematchAskedAnswer(Answer):
    """The kept posts are being held against the query; /api/brands says how far."""

    brand_id: str


class SourcePreviewAnswer(Answer):
    """What a query finds of one source."""

    source: str
    posts: int
    a_day: float | None
    cost_a_day: float | None = Field(description="null where the source asks for no money, as far as is configured")
    currency: str


class UnlikeAnswer(Answer):
    """A post that is little like the others that the query finds."""

    distance: float = Field(description="1 less the average share of the other posts that have each of its words")
    mention: MentionAnswer


class PreviewAnswer(Answer):
    """What a query finds among the posts that are kept: those that some brand found. A source may hold more."""

    posts: int = Field(description="each counted once, however many brands it names")
    estimated: bool = Field(description="`posts` is an estimate: there are more than 20,000 mentions")
    sources: list[SourcePreviewAnswer]
    a_day: float | None = Field(description="average over `days`; null where nothing has a date")
    lately: int = Field(description="how many of them are of these `days`")
    days: float
    until: datetime | None = Field(description="end of these days: the newest post that is kept")
    newest: list[MentionAnswer] = Field(description="at most twenty")
    compared: int = Field(description="how many of the newest posts `unlike` was found among")
    unlike: list[UnlikeAnswer] = Field(description="those least like the rest, the strangest first")
    usable: bool = Field(description="whether it can be a brand's query as it is")
    problem: str = Field(description="why not; empty where it can")
    warnings: list[WarningAnswer]
