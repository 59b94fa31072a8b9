"""Reddit's feeds: what somebody wrote, without what Reddit puts about it."""

from __future__ import annotations

from contextlib import closing

import pytest
from fakes.clock import START
from fakes.feed_site import Reading
from fakes.live_reddit import open_reddit

from domain.brand import Brand, slug
from domain.clock import SystemClock, to_ms
from ingest.feed_entry import FeedEntry, Revised
from ingest.normalise import Normaliser
from ingest.reddit import RedditSettings, RedditSource, submission
from ingest.source import RawPost, Removed

PLACE = "https://www.reddit.com/r/gadgets/comments/1/a_title/"
ABOUT = (
    '&#32; submitted by &#32; <a href="https://www.reddit.com/user/alice"> /u/alice </a> <br/> '
    '<span><a href="{target}">[link]</a></span> &#32; <span><a href="' + PLACE + '">[comments]</a></span>'
)


def content_of(
    text: str, *, title: str = "A title", author: str = "/u/alice", target: str = PLACE
) -> RawPost | Removed:
    written = f'<!-- SC_OFF --><div class="md"><p>{text}</p></div><!-- SC_ON -->' if text else ""
    text = written + ABOUT.format(target=target)
    entry = FeedEntry(guid="t3_1", link=PLACE, title=title, text=text, author=author, tags=("gadgets",))
    return submission(Revised(entry=entry, feed="new", host="reddit", published_ms=to_ms(START), edited_ms=None))


def post_of(text: str, **others: str) -> RawPost:
    content = content_of(text, **others)
    assert isinstance(content, RawPost)
    return content


def test_a_text_post_is_what_its_author_wrote() -> None:
    source = RedditSource(RedditSettings(words=("Acme",)), SystemClock())
    post = Normaliser(source.name, source.normalise).normalise(post_of("I like <b>acme</b>"), START)
    assert post.post_id == "reddit:t3_1"
    assert (post.title, post.text, post.url) == ("A title", "I like acme", PLACE)
    assert (post.published_at, post.edited_at, post.kind) == (START, None, "post")
    assert dict(post.attrs) == {"subreddit": "gadgets"}
    assert post.links == ()


def test_a_link_post_is_its_title_and_where_it_leads() -> None:
    fields = post_of("", title="Acme again", target="https://news.example/?a=1&amp;b=2").fields
    assert fields["text"] == "Acme again"
    assert "title" not in fields
    assert fields["links"] == ["https://news.example/?a=1&b=2"]


def test_an_author_is_somebody_within_reddit_only() -> None:
    fields = post_of("x").fields
    assert fields["author_id"] == fields["author_handle"] == "u/alice"
    assert "author_name" not in fields


@pytest.mark.parametrize("author", ["", "/u/[deleted]", "[deleted]"])
def test_nobody_is_no_author(author: str) -> None:
    assert not {"author_id", "author_handle"} & post_of("x", author=author).fields.keys()


@pytest.mark.parametrize("text", ["[deleted]", " [removed] "])
def test_a_text_that_was_taken_away_is_a_removal(text: str) -> None:
    assert content_of(text) == Removed(native_id="t3_1", removed_at=START)


def test_a_post_is_removed_once_its_text_is_taken_away() -> None:
    with open_reddit() as world:
        reader = world.source().open(None)
        try:
            reading = Reading(reader)
            world.publish([100])
            reading.until(lambda: len(reading.posts()) == 1, "the post")
            world.posts.clear()
            world.publish([100], text="[removed]")
            reading.until(lambda: len(reading.removals()) == 1, "its removal")
            assert reading.removals()[0].native_id == "t3_a100"
        finally:
            reader.close()


def test_it_says_who_asks_and_whom_to_ask_about_it() -> None:
    with open_reddit() as world:
        settings = RedditSettings(subreddits=("gadgets",), address=world.address, contact="u/ann", allow_private=True)
        reader = RedditSource(settings, SystemClock()).open(None)
        try:
            reading = Reading(reader)
            reading.until(lambda: bool(world.agents), "a question")
            assert world.agents == {"Soundings (self-hosted social listening; u/ann)"}
        finally:
            reader.close()


def test_the_names_that_are_searched_for_follow_the_brands() -> None:
    with open_reddit() as world:
        settings = RedditSettings(
            words=("Acme",),
            follows_brands=True,
            address=world.address,
            poll_seconds=0.05,
            host_seconds=0.0,
            allow_private=True,
        )
        source = RedditSource(settings, SystemClock())
        reader = source.open(None)
        try:
            reading = Reading(reader)
            world.publish([100])
            reading.until(lambda: world.searches["Acme"] > 0 and len(reading.posts()) == 1, "the first name")
            source.brands_changed([named("Globex"), named("Mug Works")])
            reading.until(lambda: min(world.searches["Globex"], world.searches["Mug Works"]) > 0, "the new names")
            before = world.searches["Acme"]
            reading.until(lambda: world.searches["Globex"] > 5, "some more looks")
            assert world.searches["Acme"] <= before + 1
            source.brands_changed([])
            reading.until(lambda: bool(reading.refusals), "a refusal")
            assert "nothing is left to read" in str(reading.refusals[0])
        finally:
            reader.close()
        source.brands_changed([named("Initech")])
        with closing(source.open(None)) as again:
            Reading(again).until(lambda: world.searches["Initech"] > 0, "the name after it was opened again")


def named(name: str) -> Brand:
    return Brand(brand_id=slug(name), name=name, query=name)


def test_names_are_kept_where_brands_are_not_searched_for() -> None:
    with open_reddit() as world:
        source = RedditSource(RedditSettings(subreddits=("gadgets",), address=world.address), SystemClock())
        source.brands_changed([named("Globex")])
        assert not any("search.rss" in url for url in source._plan.urls)
