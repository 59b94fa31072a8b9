"""Settings of X."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain.errors import ConfigError
from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource


def _build(context: SourceContext) -> LiveSource:
    from dataclasses import replace

    from ingest.x import XSettings, XSource
    from ingest.x_budget import Budget

    values = context.values
    if not values["token"]:
        raise ConfigError(
            "source.x.token: is missing: set SOUNDINGS_SOURCE_X_TOKEN or source.x.token_file; see docs/sources/x.md"
        )
    settings = XSettings(
        token=values["token"],
        address=values["address"],
        authors=values["authors"],
        budget=Budget(
            price_per_post=values["price_per_post"],
            price_per_author=values["price_per_author"],
            daily=values["daily_budget"],
            currency=values["currency"],
        ),
        recover_posts=values["recover_posts"],
        compliance_hours=values["compliance_hours"],
        normalise=replace(context.normalise, html="never"),
        allow_private=context.allow_private,
    )
    return XSource(settings, context.brands, context.clock)


def _notes(context: SourceContext) -> Sequence[str]:
    from ingest.x_rules import compile_rules

    notes = list(compile_rules(context.brands).notes)
    if not context.values["authors"] and any("author:" in brand.query for brand in context.brands):
        notes.append("source x: a query names an author, and handles are known with source.x.authors = true only")
    return notes


X = SourceKind(
    name="x",
    summary="posts of X by its filtered stream, paid by the post",
    settings=(
        Setting("source.x.token", "secret", "", "the bearer token of an app"),
        Setting("source.x.token_file", "path", "", "a file that holds it, in one line"),
        Setting("source.x.address", "text", "https://api.x.com", "where its API is"),
        Setting(
            "source.x.daily_budget",
            "number",
            10.0,
            "what may be spent in a day of UTC; then nothing is read until the next",
            minimum=0,
            maximum=1_000_000,
        ),
        Setting("source.x.currency", "text", "USD", "the currency of the prices and the budget"),
        Setting(
            "source.x.price_per_post",
            "number",
            0.005,
            "what X asks for a post that is read; see your contract",
            minimum=0,
            maximum=1_000,
        ),
        Setting(
            "source.x.authors",
            "boolean",
            False,
            "whether names, handles and followers of authors are asked for, at a price of their own",
        ),
        Setting(
            "source.x.price_per_author",
            "number",
            0.01,
            "what X asks for an author, once a day for each",
            minimum=0,
            maximum=1_000,
        ),
        Setting(
            "source.x.recover_posts",
            "integer",
            1000,
            "how many posts are searched for after a gap at most; 0 searches for none",
            minimum=0,
            maximum=100_000,
        ),
        Setting(
            "source.x.compliance_hours",
            "number",
            24.0,
            "how often X is asked which posts were removed (hours)",
            minimum=1,
            maximum=720,
        ),
    ),
    build=_build,
    has_past=True,
    needs="sources",
    notes=_notes,
)
