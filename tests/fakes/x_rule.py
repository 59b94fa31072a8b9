"""Whether X would let a post through a rule, by what its documentation says of the operators.

Words are cut at punctuation and symbols and compared without regard to case, accents are kept, a phrase is words side
by side, an emoji is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

_PART = re.compile(r'\s*(\(|\)|OR\b|-?(?:[a-z]+:)?"[^"]*"|-?[^\s()"]+)')


@dataclass(frozen=True)
class XText:
    """A post as X's rules see it."""

    text: str
    author: str = "somebody"
    lang: str = "en"
    urls: tuple[str, ...] = ()


Check = Callable[[XText], bool]


def evaluate(rule: str, post: XText) -> bool:
    """Tell whether the post passes."""
    parts = [match[1] for match in _PART.finditer(rule)]
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", rule), "a part of the rule was not understood"
    check, end = _any(parts, 0)
    assert end == len(parts), rule
    return check(post)


def _any(parts: list[str], at: int) -> tuple[Check, int]:
    first, at = _all(parts, at)
    checks = [first]
    while at < len(parts) and parts[at] == "OR":
        check, at = _all(parts, at + 1)
        checks.append(check)
    return lambda post: any(check(post) for check in checks), at


def _all(parts: list[str], at: int) -> tuple[Check, int]:
    checks: list[Check] = []
    while at < len(parts) and parts[at] not in ("OR", ")"):
        if parts[at] == "(":
            check, at = _any(parts, at + 1)
            assert parts[at] == ")"
        else:
            check = _operator(parts[at])
        at += 1
        checks.append(check)
    assert checks, parts
    return lambda post: all(check(post) for check in checks), at


def _operator(part: str) -> Check:
    if part == "-is:retweet":
        return lambda _: True
    name, colon, value = part.partition(":")
    if colon and name in ("from", "lang", "url"):
        value = value.strip('"')
        if name == "from":
            return lambda post: post.author.lower() == value
        if name == "lang":
            return lambda post: post.lang == value
        return lambda post: any(_holds(_words(url), _words(value)) for url in post.urls)
    assert not part.startswith("-"), part
    if part[0] in "#@$":
        return lambda post: part in re.findall(r"[#@$]\w+", post.text.lower())
    wanted = _words(part.strip('"'))
    assert wanted, part
    return lambda post: _holds(_words(post.text), wanted)


def _words(text: str) -> list[str]:
    """Cut at punctuation and symbols; a pictograph is a word."""
    words = [""]
    for char in text.lower():
        category = unicodedata.category(char)
        if category == "So":
            words += [char, ""]
        elif category[0] in "LNM":
            words[-1] += char
        else:
            words.append("")
    return [word for word in words if word]


def _holds(words: list[str], phrase: list[str]) -> bool:
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words)))
