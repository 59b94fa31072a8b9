"""Where a post names a brand: the places that the model reads as a marker."""

from __future__ import annotations

import pytest
from fakes.clock import START

from domain.brand import Brand
from domain.records import BrandMatch, Post, Span
from enrich.naming import BrandPlaces
from ingest.matching import BrandMatcher

BRANDS = (
    Brand(brand_id="acme", name="Acme Air", query="acme OR #acmeair", handles=("acme_help",)),
    Brand(brand_id="globex", name="Globex", query="globex AND (broken OR refund)"),
    Brand(brand_id="hp", name="HP", query='hp OR "hewlett packard"'),
    Brand(brand_id="oreal", name="L'Oréal", query='loreal OR "l\'oréal"'),
    Brand(brand_id="rival", name="Rival", query='"acme air" OR rival'),
)


def named(text: str, *, title: str | None = None) -> dict[str, list[str]]:
    """Match a post as ingest does, and give what stands in the places of each brand."""
    post = Post(
        post_id="x:1",
        source="x",
        native_id="1",
        revision_ms=1,
        text=text,
        title=title,
        collected_at=START,
        routing_month="2026.01",
    )
    matches = BrandMatcher(BRANDS).match(post)
    passage = BrandPlaces({brand.brand_id: brand for brand in BRANDS}).passage(post, matches)
    return {
        match.brand_id: [passage.text[start:end] for start, end in sorted(found)]
        for match, found in zip(matches, passage.brands, strict=True)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acme was late", {"acme": ["Acme"]}),
        ("love #AcmeAir so much", {"acme": ["#AcmeAir"]}),
        ("acme! acme! acme!", {"acme": ["acme"] * 3}),
        # The brand's own handle is a place of it though the query did not ask for it.
        ("Acme, ask @Acme_Help about it", {"acme": ["Acme", "@Acme_Help"]}),
        ("Acme, not @acme_helpers", {"acme": ["Acme"]}),
        # Words that the query asks for beside the name stay for the model to read.
        ("my globex is broken, refund please", {"globex": ["globex"]}),
        ("L'ORÉAL and loreal", {"oreal": ["L'ORÉAL", "loreal"]}),
        # Nothing that was matched is the name: all of it stands for the brand.
        ("hewlett packard shop", {"hp": ["hewlett packard"]}),
        ("hp shop", {"hp": ["hp"]}),
        # Another brand's query may match the same place.
        ("acme air again", {"acme": ["acme"], "rival": ["acme air"]}),
    ],
)
def test_places(text: str, expected: dict[str, list[str]]) -> None:
    assert named(text) == expected


def test_places_in_title_and_text_are_places_of_both_read_together() -> None:
    assert named("and acme again", title="Acme in the news") == {"acme": ["Acme", "acme"]}


def test_a_brand_that_is_not_configured_any_more_keeps_the_places_that_were_matched() -> None:
    post = Post(
        post_id="x:1",
        source="x",
        native_id="1",
        revision_ms=1,
        text="gone is late",
        collected_at=START,
        routing_month="2026.01",
    )
    match = BrandMatch(brand_id="gone", query_revision=1, spans=(Span(0, 4),))
    assert BrandPlaces({}).passage(post, [match]).brands == (((0, 4),),)
