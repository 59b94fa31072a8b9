"""Content words of a post, for word clouds: no stop words, handles, hashtags' signs, links or numbers."""

from __future__ import annotations

from collections.abc import Sequence

# The schema's limit.
MAX_WORDS = 40
# English words that say nothing about a subject; folded as `domain.text` folds, so "don't" is "don" and "t".
_STOP_WORDS = """
    a about above after again against all already also although always am an and any anybody anyone anything are aren
    around as at away back be because been before being below between both but by came can cannot cant come could
    couldn did didn do does doesn doing don done dont down during each either else even ever every everyone everything
    few for from further gave get gets getting give go goes going gone gonna got gotta had hadn has hasn have haven
    having he her here hers herself hey hi him himself his how however i if ill im in into is isn it its itself ive just
    keep last least less let lets like lol made make makes many may maybe me might mine more most much must my myself
    need never next no nobody none nor not nothing now of off ok okay on once one only onto or other others our ours
    ourselves out over own per please put quite rather really rt said same saw say says see seen she should shouldn
    since so some somebody someone something still such sure take than that thats the their theirs them themselves then
    there these they thing things this those though through thru till to today together tomorrow tonight too took
    toward towards try two under until up upon us use used using very via wanna want wants was wasn way we well went
    were weren what when where whether which while who whom whose why will with within without won would wouldn yes
    yesterday yet you your yours yourself yourselves youre amp http https
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def content_words(token_texts: Sequence[str], *, left_out: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Give the distinct content words of folded tokens, in order of first appearance, at most `MAX_WORDS`.

    Args:
        token_texts: folded tokens (`domain.text`): words, `#tag`, `@handle`, emoji, single CJK characters.
        left_out: further tokens to leave out.

    Returns:
        Words of two or more letters, and hashtags without their sign; emoji are kept.
    """
    words: dict[str, None] = {}
    for token in token_texts:
        word = token.removeprefix("#")
        if not word or word[0] in "@$" or word in STOP_WORDS or word in left_out or word.isdecimal():
            continue
        is_emoji = len(word) <= 8 and not word.isascii() and not any(map(str.isalnum, word))
        if is_emoji or (len(word) > 1 and any(map(str.isalpha, word))):
            words[word] = None
            if len(words) == MAX_WORDS:
                break
    return tuple(words)
