"""Brand matching against all brands at once, beside two peers measured in the same run.

`python -m bench.matching [--brands 1000] [--posts 20000] [--file POSTS]`: checks that all give the same matches, then
prints posts per second of one core (CPU time, the best of three) and the ratio to each peer. Posts are made up from a
seed, of which `--matching` (a share) name a brand; `--file` takes a file's posts instead.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from domain.brand import Brand
from domain.query import compile_matcher, parse, subject_of
from domain.records import BrandMatch, Post
from domain.text import fold, fold_keyword
from ingest.anchor_choice import choose_anchors
from ingest.file import FileSource
from ingest.file_shape import FileSettings
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.source import RawPost

# The slow peers are measured on fewer posts; CPU time per post does not depend on how many there are.
PEER_POSTS = 200
AGREED_POSTS = 400
_NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_SYLLABLES = [consonant + vowel for consonant in "bcdfgklmnprstvz" for vowel in "aeiou"]
_WORDS = re.findall(
    "[a-z]+",
    "the a of and to in is it my for on with this that was but they so at have just not are be all out now time day "
    "service flight phone coffee train ticket screen battery price order delivery support account login network shop "
    "love hate great bad slow fast broken lovely waiting again never always today tomorrow week really please thanks",
)


def make_brands(count: int, rng: random.Random) -> list[Brand]:
    """Make brands with queries as people write them: handles, phrases, prefixes, exclusions, domains."""
    brands = []
    for number in range(count):
        name = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4)))
        word = rng.choice(_WORDS[20:])
        query = rng.choice(
            (
                f'@{name} OR "{name} {word}"',
                f"@{name} OR #{name} OR {name}",
                f"{name}* AND {word}",
                f'({name} OR "{name} {word}"~3) NOT {rng.choice(_WORDS[20:])}',
                f"{name} OR domain:{name}.com OR author:{name}",
            )
        )
        brands.append(Brand(brand_id=f"brand-{number}", name=name, query=query))
    return brands


def make_posts(count: int, brands: Sequence[Brand], share: float, rng: random.Random) -> list[Post]:
    """Make posts of 5 to 40 words; a `share` of them says a brand's name somewhere."""
    texts = []
    for _ in range(count):
        words = rng.choices(_WORDS, k=rng.randint(5, 40))
        if rng.random() < share:
            name = rng.choice(brands).name
            words.insert(rng.randrange(len(words)), rng.choice((name, f"@{name}", f"#{name}", f"{name} {words[0]}")))
        texts.append(
            " ".join(words).capitalize() + rng.choice((".", "!", " \u2764\ufe0f", " https://example.com/a?b=1"))
        )
    normaliser = Normaliser("bench", FileSettings(path="-").normalise)
    return [
        normaliser.normalise(RawPost(fields={"id": str(number), "text": text}), _NOW)
        for number, text in enumerate(texts)
    ]


def read_posts(path: str, count: int) -> list[Post]:
    """Read a file's first posts."""
    source = FileSource(FileSettings(path=path))
    normaliser = Normaliser(source.name, source.settings.normalise)
    reader = source.open(None)
    posts: list[Post] = []
    while len(posts) < count and (items := reader.read(512)) is not None:
        posts += [normaliser.normalise(item.content, _NOW) for item in items if isinstance(item.content, RawPost)]
    reader.close()
    return posts[:count]


def naive(brands: Sequence[Brand]) -> Callable[[Post], tuple[BrandMatch, ...]]:
    """Give the first peer: every compiled query is asked about every post."""
    matchers = [(brand, compile_matcher(parse(brand.query))) for brand in brands]

    def match(post: Post) -> tuple[BrandMatch, ...]:
        subject = subject_of(post)
        found = [(brand, matcher.match(subject)) for brand, matcher in matchers]
        return tuple(_match(brand, spans) for brand, spans in found if spans is not None)

    return match


def alternation(brands: Sequence[Brand]) -> Callable[[Post], tuple[BrandMatch, ...]]:
    """Give the second peer: the same two steps, but one regular expression of all anchors finds the candidates."""
    nodes = [parse(brand.query) for brand in brands]
    matchers = [compile_matcher(node) for node in nodes]
    hanging: dict[str, set[int]] = {}
    by_value: dict[tuple[str, str], set[int]] = {}
    for index, found in enumerate(choose_anchors(nodes)):
        for word in (*found.tokens, *found.prefixes):
            hanging.setdefault(word, set()).add(index)
        for keyword in found.keywords:
            by_value.setdefault(keyword, set()).add(index)
    fields = sorted({field for field, _ in by_value})
    # A look-ahead finds overlapping anchors; the longest wins, so it brings those that it begins with.
    pattern = re.compile(f"(?=({'|'.join(sorted(map(re.escape, hanging), key=len, reverse=True))}))")
    brought = {word: set().union(*(hanging[part] for part in hanging if word.startswith(part))) for word in hanging}

    def match(post: Post) -> tuple[BrandMatch, ...]:
        candidates = set().union(*(brought[word] for word in set(pattern.findall(fold(post.text)))))
        for field in fields:
            for value in _values(post, field):
                candidates |= by_value.get((field, value), set())
        if not candidates:
            return ()
        subject = subject_of(post)
        results = [(brands[index], matchers[index].match(subject)) for index in sorted(candidates)]
        return tuple(_match(brand, spans) for brand, spans in results if spans is not None)

    return match


def _values(post: Post, field: str) -> list[str]:
    value = getattr(post, field)
    return [fold_keyword(entry) for entry in (value if isinstance(value, tuple) else [value]) if entry]


def _match(brand: Brand, spans: tuple[object, ...]) -> BrandMatch:
    return BrandMatch(brand_id=brand.brand_id, query_revision=brand.query_revision, spans=spans)  # type: ignore[arg-type]


def rate(match: Callable[[Post], object], posts: Sequence[Post]) -> float:
    """Give posts per second of CPU time, the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for post in posts:
            match(post)
        best = min(best, time.process_time() - start)
    return len(posts) / best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brands", type=int, default=1000)
    parser.add_argument("--posts", type=int, default=20_000)
    parser.add_argument("--matching", type=float, default=0.1, help="share of made-up posts that name a brand")
    parser.add_argument("--file", help="take the posts of this file instead")
    options = parser.parse_args()
    rng = random.Random(7)
    brands = make_brands(options.brands, rng)
    if options.file:
        posts = read_posts(options.file, options.posts)
    else:
        posts = make_posts(options.posts, brands, options.matching, rng)
    ours, peers = BrandMatcher(brands).match, {"every query": naive(brands), "re alternation": alternation(brands)}
    for name, peer in peers.items():
        differing = [post.post_id for post in posts[:AGREED_POSTS] if ours(post) != peer(post)]
        if differing:
            raise SystemExit(f"{name} finds other matches in {len(differing)} posts, the first {differing[0]}")
    matched = sum(bool(ours(post)) for post in posts)
    print(f"{len(brands):,} brands, {len(posts):,} posts, {matched:,} match; {AGREED_POSTS} agree with both peers")
    mine = rate(ours, posts)
    print(f"{'BrandMatcher':16} {mine:10,.0f} posts/s")
    for name, peer in peers.items():
        other = rate(peer, posts[:PEER_POSTS])
        print(f"{name:16} {other:10,.0f} posts/s  ratio {mine / other:,.0f}")


if __name__ == "__main__":
    main()
