"""Stories in Elasticsearch: the shelf over an index of their own, for one slice of records.

Two kinds of documents in one shard: a story with its original and the keys that it is found under, and a post with its
story. A slice reads what it needs in a few requests, decides over that and over what it decided before, and leaves
`ops`. They are written in order, in one request, and a shard carries items out in order: whatever is durable after a
crash is what some of the records, the first ones, would have left. The log gives the rest again, and as the rules see
the same, they decide the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from domain import ids
from domain.records import Mention
from domain.stories import Signature, are_alike, shingles, story_words
from search.elastic_bulk import Op
from search.elastic_http import Elastic
from search.elastic_reads import ALL_FIELDS, Found, Wanted, get_many, refresh, search_many
from search.elastic_settings import Names
from search.stories import MOST_OF_A_KEY, Original, Place, ShinglesCache, event_ms, window_of
from search.transfer import StoryPost
from stream.codec import to_json

# Keys asked for in one search, and the answers that it may have; where there are more, key by key.
_KEYS_A_SEARCH: Final = 256
_MOST_TOGETHER: Final = 1_000
# Of a key alone: those that count and as many more, for a slice may have changed some of them.
_MOST_ALONE: Final = 2 * MOST_OF_A_KEY


class _Post(NamedTuple):
    place: Place
    # The words that count, for the day on which this post becomes an original.
    said: str


class _Story(NamedTuple):
    original: Original
    keys: tuple[int, ...]
    said: str


# A story under a key: the time of its original, and its id. In order of these, the newest last.
_Row = tuple[int, str]


class ElasticShelf:
    """`search.stories.Shelf` for one slice: reads the index, writes nothing to it, and collects `ops`."""

    def __init__(self, elastic: Elastic, names: Names, cache: ShinglesCache, sequence: int | None = None) -> None:
        """Make an empty one.

        Args:
            elastic: where to read.
            names: of the indices.
            cache: of shingles, for this thread.
            sequence: the number of the last write to the index, where that is known.
        """
        self._elastic, self._index, self._cache = elastic, names.stories, cache
        # All writes up to this number were seen; perhaps some more.
        self.sequence = sequence
        self.ops: list[Op] = []
        # Stories that began in this slice, each with the place in `ops` at which it did.
        self.began: dict[str, int] = {}
        self._posts: dict[str, _Post | None] = {}
        self._stories: dict[str, _Story | None] = {}
        # Over what the index says: stories with another original, by key too; posts that left and that came.
        self._changed: set[str] = set()
        self._changed_by_key: defaultdict[int, set[str]] = defaultdict(set)
        self._gone: defaultdict[str, set[str]] = defaultdict(set)
        self._came: defaultdict[str, set[str]] = defaultdict(set)
        # What was read under keys: whole within a window, or the newest within one.
        self._window = (0, -1)
        self._rows: dict[int, list[_Row]] = {}
        self._newest: dict[tuple[int, int, int], list[_Row]] = {}

    # --- reading ahead

    def wanted(self, post_id: str) -> Wanted:
        """Give where the place of a post is read."""
        return Wanted(self._index, _post_doc(post_id), ALL_FIELDS)

    def know(self, post_id: str, found: Found | None) -> None:
        """Take what was read there."""
        self._posts[post_id] = None if found is None else _post_of(found.source)

    def read_ahead(self, mentions: Iterable[tuple[Mention, Signature]]) -> None:
        """Read what these mentions will probably need, in a few requests for all of them."""
        times: list[tuple[int, tuple[int, ...]]] = []
        stories: set[str] = set()
        for mention, signature in mentions:
            place = self.place(mention.post_id)
            if place is not None:
                if mention.version <= place.version:
                    continue
                if (place.text, place.at_ms) == (signature.text, event_ms(mention)):
                    continue
                stories.add(place.story_id)
            if signature.keys and (place is None or place.text != signature.text):
                times.append((event_ms(mention), signature.keys))
        if not times and not stories:
            return
        # Written by another worker, or by the slice before: a search finds it only now.
        refresh(self._elastic, self._index, patient=True)
        if self.sequence is None:
            self.sequence = self._last_sequence()
        if times:
            self._window = (window_of(min(at for at, _ in times))[0], window_of(max(at for at, _ in times))[1])
            crowded = self._read_keys(sorted({key for _, keys in times for key in keys}))
            asked = {(key, *window_of(at)): None for at, keys in times for key in keys if key in crowded}
            self._read_newest(list(asked))
        self._read_stories(stories - self._stories.keys())

    def _last_sequence(self) -> int:
        """Give the number of the newest write that is still there; -1 for an empty index."""
        search = {"size": 1, "sort": [{"_seq_no": "desc"}], "_source": False, "track_total_hits": False}
        (answer,) = search_many(self._elastic, self._index, [search], patient=True)
        return max((hit["sort"][0] for hit in answer["hits"]["hits"]), default=-1)

    def _read_keys(self, keys: list[int]) -> set[int]:
        """Read all stories under these keys within the window; give the keys that have too many."""
        groups = [keys[start : start + _KEYS_A_SEARCH] for start in range(0, len(keys), _KEYS_A_SEARCH)]
        alone: list[int] = []
        for group, hits in zip(groups, self._under(groups, _MOST_TOGETHER), strict=True):
            if len(hits) < _MOST_TOGETHER:
                self._take(group, hits)
            else:
                alone += group
        # Some key of the group is that of a phrase which begins thousands.
        for key, hits in zip(alone, self._under([[key] for key in alone], _MOST_ALONE), strict=True):
            if len(hits) < _MOST_ALONE:
                self._take([key], hits)
        return {key for key in alone if key not in self._rows}

    def _under(self, groups: Sequence[Sequence[int]], most: int) -> list[list[_Row]]:
        """Search for the stories under any of the keys of each group."""
        searches = [_search_under(group, self._window, most) for group in groups]
        return [self._hits(answer) for answer in search_many(self._elastic, self._index, searches, patient=True)]

    def _hits(self, answer: Mapping[str, Any]) -> list[_Row]:
        """Take the stories of an answer, and give them as rows."""
        rows: list[_Row] = []
        for hit in answer["hits"]["hits"]:
            source = hit["_source"]
            story_id = source["story_id"]
            rows.append((source["at_ms"], story_id))
            if story_id not in self._stories:
                self._stories[story_id] = _story_of(source)
        return rows

    def _take(self, keys: Sequence[int], rows: Sequence[_Row]) -> None:
        """Keep all that the index has under these keys."""
        taken: dict[int, list[_Row]] = {key: [] for key in keys}
        for row in rows:
            for key in self._keys_of(row[1]):
                if key in taken:
                    taken[key].append(row)
        self._rows |= taken

    def _read_stories(self, story_ids: Iterable[str]) -> None:
        wanted = list(story_ids)
        docs = [Wanted(self._index, _story_doc(one), ALL_FIELDS) for one in wanted]
        for story_id, found in zip(wanted, get_many(self._elastic, docs, patient=True), strict=True):
            self._stories[story_id] = None if found is None else _story_of(found.source)

    # --- the shelf

    def place(self, post_id: str) -> Place | None:
        if post_id not in self._posts:
            (found,) = get_many(self._elastic, [self.wanted(post_id)], patient=True)
            self.know(post_id, found)
        post = self._posts[post_id]
        return None if post is None else post.place

    def original(self, story_id: str) -> Original | None:
        story = self._story(story_id)
        return None if story is None else story.original

    def votes(self, keys: tuple[int, ...], low_ms: int, high_ms: int) -> Mapping[str, int]:
        within = self._window[0] <= low_ms and high_ms <= self._window[1]
        unread = [key for key in keys if not (within and key in self._rows)]
        newest = dict(zip(unread, self._newest_under(unread, low_ms, high_ms), strict=True))
        votes: Counter[str] = Counter()
        for key in keys:
            rows = [
                row
                for row in newest.get(key, self._rows.get(key, []))
                if low_ms <= row[0] <= high_ms and row[1] not in self._changed
            ]
            for story_id in self._changed_by_key[key]:
                story = self._stories[story_id]
                if story is not None and low_ms <= story.original.at_ms <= high_ms:
                    rows.append((story.original.at_ms, story_id))
            rows.sort(reverse=True)
            votes.update(story_id for _, story_id in rows[:MOST_OF_A_KEY])
        return votes

    def _newest_under(self, keys: Sequence[int], low_ms: int, high_ms: int) -> list[list[_Row]]:
        """Give the newest stories under each of these keys, as the index has them, enough of those not changed."""
        unread = []
        for key in keys:
            rows = self._newest.get((key, low_ms, high_ms))
            left = 0 if rows is None else sum(row[1] not in self._changed for row in rows)
            if rows is None or (len(rows) >= _MOST_ALONE and left < MOST_OF_A_KEY):
                unread.append((key, low_ms, high_ms))
        self._read_newest(unread)
        return [self._newest[key, low_ms, high_ms] for key in keys]

    def _read_newest(self, asked: Sequence[tuple[int, int, int]]) -> None:
        searches = [_search_under([key], (low, high), _MOST_ALONE, without=self._changed) for key, low, high in asked]
        answers = search_many(self._elastic, self._index, searches, patient=True)
        self._newest |= {one: self._hits(answer) for one, answer in zip(asked, answers, strict=True)}

    def shingles(self, story_id: str, original: Original) -> frozenset[str]:
        found = self._cache.get(original.text)
        if found is None:
            story = self._story(story_id)
            found = shingles(story.said.split() if story else ())
            self._cache.put(original.text, found)
        return found

    def join(self, mention: Mention, place: Place, *, alone: bool) -> None:
        said = " ".join(story_words(mention.tokens, mention.domains)) if place.keys else ""
        before = None if alone else self._story(place.story_id)
        if before is None and place.story_id not in self._changed:
            self.began[place.story_id] = len(self.ops)
        self._put(mention.post_id, _Post(place, said), before)

    def adopt(self, posts: Sequence[StoryPost]) -> None:
        """Put posts where another store has them, unless they stand somewhere here."""
        found = get_many(self._elastic, [self.wanted(post.post_id) for post in posts], patient=True)
        for post, one in zip(posts, found, strict=True):
            self.know(post.post_id, one)
        self._read_stories({post.place.story_id for post in posts})
        for post in posts:
            if self._posts[post.post_id] is None:
                said = post.said if post.place.keys else ""
                self._put(post.post_id, _Post(post.place, said), self._story(post.place.story_id))

    def _put(self, post_id: str, post: _Post, before: _Story | None) -> None:
        place = post.place
        if before is None or (place.at_ms, post_id) < before.original[:2]:
            self._set_story(place.story_id, _Story(Original(place.at_ms, post_id, place.text), place.keys, post.said))
        self._set_post(post_id, post)
        self._came[place.story_id].add(post_id)

    def leave(self, post_id: str, place: Place, *, for_good: bool) -> None:
        before = self._story(place.story_id)
        # The index still has it there, and so must not be asked about it.
        self._gone[place.story_id].add(post_id)
        self._came[place.story_id].discard(post_id)
        if before is not None and before.original.post_id == post_id:
            (following,) = self._next([place.story_id])
            self._set_story(place.story_id, following)
        if for_good:
            # A post that moves is written once, where it ends: without a place it would be a new one after a crash.
            self.ops.append(Op("delete", self._index, _post_doc(post_id)))
            self._posts[post_id] = None

    def remove_many(self, posts: Sequence[str]) -> int:
        """Take many posts out of their stories for good, in a few requests for all; give how many stood in one."""
        found = get_many(self._elastic, [self.wanted(post_id) for post_id in posts], patient=True)
        for post_id, one in zip(posts, found, strict=True):
            self.know(post_id, one)
        places = {post_id: place for post_id in posts if (place := self.place(post_id)) is not None}
        self._read_stories({place.story_id for place in places.values()})
        for post_id, place in places.items():
            self._gone[place.story_id].add(post_id)
        left = [
            story_id
            for story_id, gone in self._gone.items()
            if (story := self._stories.get(story_id)) is not None and story.original.post_id in gone
        ]
        for story_id, following in zip(left, self._next(left) if left else (), strict=True):
            self._set_story(story_id, following)
        for post_id in places:
            self.ops.append(Op("delete", self._index, _post_doc(post_id)))
            self._posts[post_id] = None
        return len(places)

    def rescore(self, post_id: str, place: Place, version: int) -> None:
        post = self._posts[post_id]
        if post is not None:
            self._set_post(post_id, _Post(place._replace(version=version), post.said))

    # --- several workers

    def rivals(self, story_id: str, keys: tuple[int, ...], sequence: int) -> list[tuple[int, str, str]]:
        """Give stories that say nearly the same as one that began here, and that others began a moment before.

        They were written after this slice looked, and before `sequence`, the number of our own write: of two that began
        unseen by each other exactly one is the other's rival, whoever looks first.

        Returns:
            (time of the original, its post, story).
        """
        own = self._stories.get(story_id)
        if own is None or self.sequence is None:
            return []
        search = _search_under(keys, window_of(own.original.at_ms), _MOST_TOGETHER, without=self._changed)
        search["seq_no_primary_term"] = True
        (answer,) = search_many(self._elastic, self._index, [search], patient=True)
        said = shingles(own.said.split())
        found = []
        for hit in answer["hits"]["hits"]:
            story = _story_of(hit["_source"])
            rival_id = hit["_source"]["story_id"]
            unseen = rival_id not in self._stories and self.sequence < hit["_seq_no"] < sequence
            if unseen and are_alike(said, shingles(story.said.split())):
                self._stories[rival_id] = story
                found.append((*story.original[:2], rival_id))
        return found

    def merge(self, story_id: str, into: str) -> None:
        """Move every post that this slice put into a story of its own to another one."""
        for post_id in sorted(self._came[story_id]):
            post = self._posts[post_id]
            if post is not None:
                self.leave(post_id, post.place, for_good=False)
                self._put(post_id, _Post(post.place._replace(story_id=into), post.said), self._story(into))

    # --- what was read, and what must be written

    def _story(self, story_id: str) -> _Story | None:
        if story_id not in self._stories:
            self._read_stories([story_id])
        return self._stories[story_id]

    def _next(self, story_ids: Sequence[str]) -> list[_Story | None]:
        """Give what stories are once their originals have left: of each the first post, in the index or here."""
        searches = []
        for story_id in story_ids:
            query = {
                "filter": [{"term": {"kind": "post"}}, {"term": {"story_id": story_id}}],
                "must_not": [{"terms": {"post_id": sorted(self._gone[story_id] | self._came[story_id])}}],
            }
            search = {"size": 1, "query": {"bool": query}, "sort": ["at_ms", "post_id"], "track_total_hits": False}
            searches.append(search)
        refresh(self._elastic, self._index, patient=True)
        answers = search_many(self._elastic, self._index, searches, patient=True)
        return [self._first(story_id, answer) for story_id, answer in zip(story_ids, answers, strict=True)]

    def _first(self, story_id: str, answer: Mapping[str, Any]) -> _Story | None:
        first: tuple[int, str, _Post] | None = None
        for post_id in self._came[story_id]:
            post = self._posts[post_id]
            if post is not None and (first is None or (post.place.at_ms, post_id) < first[:2]):
                first = (post.place.at_ms, post_id, post)
        for hit in answer["hits"]["hits"]:
            source = hit["_source"]
            if first is None or (source["at_ms"], source["post_id"]) < first[:2]:
                first = (source["at_ms"], source["post_id"], _post_of(source))
        if first is None:
            return None
        at_ms, post_id, post = first
        return _Story(Original(at_ms, post_id, post.place.text), post.place.keys, post.said)

    def _set_story(self, story_id: str, story: _Story | None) -> None:
        for key in self._keys_of(story_id):
            self._changed_by_key[key].discard(story_id)
        self._changed.add(story_id)
        self._stories[story_id] = story
        for key in self._keys_of(story_id):
            self._changed_by_key[key].add(story_id)
        if story is None:
            self.ops.append(Op("delete", self._index, _story_doc(story_id)))
            return
        at_ms, post_id, text = story.original
        document = {
            "kind": "story",
            "story_id": story_id,
            "post_id": post_id,
            "at_ms": at_ms,
            "text": text,
            "keys": [str(key) for key in story.keys],
            "said": story.said,
        }
        self.ops.append(Op("index", self._index, _story_doc(story_id), to_json(document)))

    def _keys_of(self, story_id: str) -> tuple[int, ...]:
        story = self._stories.get(story_id)
        return () if story is None else story.keys

    def _set_post(self, post_id: str, post: _Post) -> None:
        self._posts[post_id] = post
        story_id, at_ms, version, text, keys = post.place
        document = {
            "kind": "post",
            "story_id": story_id,
            "post_id": post_id,
            "at_ms": at_ms,
            "version": version,
            "text": text,
            "kept": [str(key) for key in keys],
            "said": post.said,
        }
        self.ops.append(Op("index", self._index, _post_doc(post_id), to_json(document)))


def _post_doc(post_id: str) -> str:
    return f"p{ids.post_key(post_id)}"


def _story_doc(story_id: str) -> str:
    return f"s{story_id}"


def story_post_of(source: Mapping[str, Any]) -> StoryPost:
    """Give a document of the kind "post" as a piece of a copy."""
    return StoryPost(source["post_id"], *_post_of(source))


def _post_of(source: Mapping[str, Any]) -> _Post:
    keys = tuple(map(int, source.get("kept", ())))
    place = Place(source["story_id"], source["at_ms"], source["version"], source["text"], keys)
    return _Post(place, source.get("said", ""))


def _story_of(source: Mapping[str, Any]) -> _Story:
    original = Original(source["at_ms"], source["post_id"], source["text"])
    return _Story(original, tuple(map(int, source.get("keys", ()))), source.get("said", ""))


def _search_under(
    keys: Sequence[int], window: tuple[int, int], most: int, *, without: Iterable[str] = ()
) -> dict[str, Any]:
    """Search for stories under any of these keys, the newest first where one key is asked for alone."""
    low_ms, high_ms = window
    query: dict[str, Any] = {
        "filter": [
            {"terms": {"keys": [str(key) for key in keys]}},
            {"range": {"at_ms": {"gte": low_ms, "lte": high_ms}}},
        ],
    }
    if unwanted := sorted(without):
        query["must_not"] = [{"terms": {"story_id": unwanted}}]
    search: dict[str, Any] = {"size": most, "query": {"bool": query}, "track_total_hits": False}
    search["sort"] = [{"at_ms": "desc"}, {"story_id": "desc"}] if len(keys) == 1 else ["_doc"]
    return search
