"""Which story a post belongs to: one set of rules for every store, over what that store keeps (`Shelf`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from domain import ids
from domain.clock import to_ms
from domain.records import Mention
from domain.stories import KEYS_KEPT, WINDOW, Signature, are_alike, shingles, story_words

# Stories looked at under one key, the newest first: "customer service is" begins thousands. A near-duplicate shares
# several keys, of which one is rare enough.
MOST_OF_A_KEY: Final = 16
# Stories compared word for word, those with the most common keys first: a flood of posts of one template costs 0.17 ms
# a post.
MOST_COMPARED: Final = 8
# Texts whose shingles are kept in memory, some 3 KB each.
MOST_KEPT: Final = 8_192
_WINDOW_MS: Final = WINDOW // timedelta(milliseconds=1)


class Place(NamedTuple):
    """Where a post stands: its story, its time in ms, the version and text hash that put it there, its keys."""

    story_id: str
    at_ms: int
    version: int
    text: int
    # Under which the story is found while this post is its original.
    keys: tuple[int, ...]


class Original(NamedTuple):
    """The first post of a story by (time, id).

    Only originals are looked for: a text told a hundred thousand times is compared once for each copy.
    """

    at_ms: int
    post_id: str
    text: int


class Shelf(Protocol):
    """What a store keeps of stories, as it stands after all that was written before.

    The original of a story is always the first of its posts, whatever joins or leaves: that is the shelf's to keep.
    """

    def place(self, post_id: str) -> Place | None:
        """Give where a post stands, or None."""

    def original(self, story_id: str) -> Original | None:
        """Give the original of a story, or None when nobody is in it."""

    def votes(self, keys: tuple[int, ...], low_ms: int, high_ms: int) -> Mapping[str, int]:
        """Give the stories kept under these keys, each with how many of them.

        Of each key only the `MOST_OF_A_KEY` stories with the newest originals in `[low_ms, high_ms]` count.
        """

    def shingles(self, story_id: str, original: Original) -> frozenset[str]:
        """Give what is compared of an original."""

    def join(self, mention: Mention, place: Place, *, alone: bool) -> None:
        """Put the post of a mention there; `alone` promises that nobody is in that story."""

    def leave(self, post_id: str, place: Place, *, for_good: bool) -> None:
        """Take a post out of its story; unless `for_good`, it joins one (perhaps the same) before anything else."""

    def rescore(self, post_id: str, place: Place, version: int) -> None:
        """Record that a higher version says the same."""


class ShinglesCache:
    """Shingles by the hash of the text that they come from, so that they never age; bounded, for one thread.

    Only saves time: most comparisons are with originals that were read, or compared, a moment ago.
    """

    def __init__(self) -> None:
        self._kept: dict[int, frozenset[str]] = {}

    def get(self, text: int) -> frozenset[str] | None:
        """Give the shingles of a text, or None when they are not kept."""
        return self._kept.get(text)

    def put(self, text: int, found: frozenset[str]) -> None:
        """Keep shingles, the oldest making room."""
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[text] = found


class Stories:
    """Gives posts their stories. Everything it knows is on the shelf, so that a restart changes nothing."""

    def __init__(self, shelf: Shelf, cache: ShinglesCache | None = None) -> None:
        """Give the stories of a shelf; what is compared goes through `cache`, where the shelf has one too."""
        self._shelf, self._cache = shelf, cache or ShinglesCache()

    def put(self, mention: Mention, signature: Signature) -> bool:
        """Give the post of a mention its story; tells whether that is another than before.

        The same text keeps its story, however often it comes; an older version than the one known changes nothing.
        """
        shelf = self._shelf
        at_ms = event_ms(mention)
        keys = signature.keys[:KEYS_KEPT]
        place = shelf.place(mention.post_id)
        if place is None:
            found = self._found(mention, signature, at_ms)
            story_id = found or ids.story_id(mention.post_id, mention.version)
            place = Place(story_id, at_ms, mention.version, signature.text, keys)
            shelf.join(mention, place, alone=found is None)
            return True
        if mention.version <= place.version:
            return False
        if (place.text, place.at_ms) == (signature.text, at_ms):
            # Scored again, or edited where it does not count.
            shelf.rescore(mention.post_id, place, mention.version)
            return False
        # The search is for others: a post that is alone keeps the name of its story whatever it says now.
        shelf.leave(mention.post_id, place, for_good=False)
        story_id = place.story_id
        if place.text != signature.text:
            found = self._found(mention, signature, at_ms)
            if found is not None:
                story_id = found
            elif shelf.original(story_id) is not None:
                story_id = ids.story_id(mention.post_id, mention.version)
        shelf.join(mention, Place(story_id, at_ms, mention.version, signature.text, keys), alone=False)
        return story_id != place.story_id

    def remove(self, post_id: str) -> None:
        """Take a post out of its story; the next one becomes the original."""
        place = self._shelf.place(post_id)
        if place is not None:
            self._shelf.leave(post_id, place, for_good=True)

    def _found(self, mention: Mention, signature: Signature, at_ms: int) -> str | None:
        """Give the story whose original says nearly the same; of several the oldest."""
        if not signature.keys:
            return None
        votes = self._shelf.votes(signature.keys, *window_of(at_ms))
        own: frozenset[str] | None = None
        fitting: list[tuple[int, str, str]] = []
        for story_id, _ in sorted(votes.items(), key=_most_votes)[:MOST_COMPARED]:
            original = self._shelf.original(story_id)
            if original is None:
                continue
            if original.text != signature.text:
                own = own or self._shingles(mention, signature)
                if not are_alike(own, self._shelf.shingles(story_id, original)):
                    continue
            fitting.append((original.at_ms, original.post_id, story_id))
        return min(fitting)[2] if fitting else None

    def _shingles(self, mention: Mention, signature: Signature) -> frozenset[str]:
        """Give what is compared of a post, and keep it: it may be an original in a moment."""
        found = self._cache.get(signature.text)
        if found is None:
            found = shingles(story_words(mention.tokens, mention.domains))
            self._cache.put(signature.text, found)
        return found


def event_ms(mention: Mention) -> int:
    """Give the event time of a mention in ms: when it was published, else collected."""
    return to_ms(mention.published_at or mention.collected_at)


def window_of(at_ms: int) -> tuple[int, int]:
    """Give the first and the last moment at which an original of the same story may stand."""
    return at_ms - _WINDOW_MS, at_ms + _WINDOW_MS


def _most_votes(item: tuple[str, int]) -> tuple[int, str]:
    story_id, votes = item
    return -votes, story_id
