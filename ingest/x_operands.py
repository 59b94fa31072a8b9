"""What X can be asked for: single operators, and how they are put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

HANDLE = re.compile(r"[a-z0-9_]{1,15}", re.ASCII)
_CASHTAG = re.compile(r"[a-z]{1,6}(?:_[a-z]{1,2})?", re.ASCII)
_PLAIN = re.compile(r"[a-z0-9]+", re.ASCII)
_OPERATORS = frozenset({"and", "or", "not"})
# The languages that X tells apart, by its code where that is not the usual one.
_SAME_LANGUAGES = (
    "am ar hy eu bn bg ca hr cs da nl en et fi fr de ka el gu hi hu it ja kn ko lv lt ml mr no fa pt ro ru sr sk sl es "
    "sv ta te th tr uk ur vi pl"
)
_LANGUAGES = {
    **{code: (code,) for code in _SAME_LANGUAGES.split()},
    "he": ("iw",),
    "id": ("in",),
    "zh": ("zh-CN", "zh-TW"),
}


class _Everything:
    """Asks for every post: X would not take it as a rule."""

    weak = True

    def text(self) -> str:
        return ""


class _Nothing:
    """Asks for no post at all."""

    weak = False

    def text(self) -> str:
        return ""


ALL, NOTHING = _Everything(), _Nothing()


@dataclass(frozen=True, slots=True)
class Operand:
    """One operator. `weak`: X takes it only beside another one. `words` are those of a phrase that may be shortened."""

    written: str
    weak: bool = False
    words: tuple[str, ...] = ()

    def text(self) -> str:
        return self.written

    def cut(self, limit: int) -> Operand:
        """Give the beginning of a phrase that is too long."""
        words = list(self.words) or [self.written.strip('"')[: limit - 2]]
        while len(words) > 1 and len(" ".join(words)) + 2 > limit:
            words.pop()
        return Operand(f'"{" ".join(words)[: limit - 2]}"')


@dataclass(frozen=True, slots=True)
class Together:
    """All of these."""

    parts: tuple[Asked, ...]

    @property
    def weak(self) -> bool:
        return all(part.weak for part in self.parts)

    def text(self) -> str:
        return " ".join(f"({part.text()})" if isinstance(part, Alternatives) else part.text() for part in self.parts)


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Any of these."""

    parts: tuple[Asked, ...]

    @property
    def weak(self) -> bool:
        return any(part.weak for part in self.parts)

    def text(self) -> str:
        return " OR ".join(f"({part.text()})" if isinstance(part, Together) else part.text() for part in self.parts)


Asked: TypeAlias = _Everything | _Nothing | Operand | Together | Alternatives


def together(parts: Sequence[Asked]) -> Asked:
    """Ask for all of these."""
    if any(part is NOTHING for part in parts):
        return NOTHING
    flat: list[Asked] = []
    for part in parts:
        flat += part.parts if isinstance(part, Together) else [] if part is ALL else [part]
    kept = tuple(dict.fromkeys(flat))
    return ALL if not kept else kept[0] if len(kept) == 1 else Together(kept)


def alternatives(parts: Sequence[Asked]) -> Asked:
    """Ask for any of these."""
    if any(part is ALL for part in parts):
        return ALL
    flat: list[Asked] = []
    for part in parts:
        flat += part.parts if isinstance(part, Alternatives) else [] if part is NOTHING else [part]
    kept = tuple(dict.fromkeys(flat))
    return NOTHING if not kept else kept[0] if len(kept) == 1 else Alternatives(kept)


def word_operand(tokens: Sequence[str], written: str, notes: list[str]) -> Asked:
    """Ask for a word or a phrase of folded tokens.

    X keeps accents, so a word is asked for as it is `written` in the query too; what differs from both is not given.
    """
    if any(token[0] in "#@$" and len(token) > 1 for token in tokens):
        # X has operators of its own for these; side by side with words they are asked for anywhere.
        return together([_signed(token) if token[0] in "#@$" else _phrase((token,), "", notes) for token in tokens])
    return _phrase(tokens, written, notes)


def _signed(token: str) -> Asked:
    name = token[1:]
    if token[0] == "#":
        return Operand(token)
    valid = HANDLE if token[0] == "@" else _CASHTAG
    return Operand(token) if valid.fullmatch(name) else Operand(f'"{name}"')


def _phrase(tokens: Sequence[str], written: str, notes: list[str]) -> Asked:
    emoji = [token for token in tokens if _is_emoji(token)]
    if emoji:
        # Between words an emoji is a word to X, and may be of another colour: the parts are asked for anywhere.
        notes.append(f"`{' '.join(emoji)[:60]}`: X tells colours of hands and faces apart; only this form is asked for")
        others = [_phrase((token,), "", notes) for token in tokens if not _is_emoji(token)]
        return together([*(Operand(f'"{token}"') for token in emoji), *others])
    # X cuts words at signs, so these say nothing there.
    words = tuple(token for token in tokens if _is_word(token))
    if not words:
        notes.append(f"`{' '.join(tokens)[:60]}`: X looks for words and emoji only, so it is not asked for")
        return ALL
    if len(words) < len(tokens) and sum(map(len, words)) == 1:
        notes.append(f"`{written or words[0]}`: X cuts words at signs, so `{words[0]}` is asked for, which is far more")
    spellings = [Operand(_quoted(words), words=words)]
    if not all(word.isascii() for word in words):
        notes.append(f"`{' '.join(words)[:60]}`: X keeps accents and cuts other scripts in its own way")
        if any(len(word) == 1 and not word.isascii() for word in words):
            spellings.insert(0, Operand(_quoted(("".join(words),))))
    elif not written.isascii():
        notes.append(f"`{written[:60]}`: X keeps accents; only this spelling and the one without them are asked for")
    plain = " ".join(written.lower().split())
    if plain and plain != " ".join(tokens) and '"' not in plain:
        spellings.append(Operand(_quoted((plain,))))
    return alternatives(spellings)


def _is_emoji(token: str) -> bool:
    return not token.isascii() and not _is_word(token)


def _is_word(token: str) -> bool:
    return any(char.isalnum() for char in token)


def _quoted(words: Sequence[str]) -> str:
    word = words[0]
    return word if len(words) == 1 and _PLAIN.fullmatch(word) and word not in _OPERATORS else f'"{" ".join(words)}"'


def keyword_operand(field: str, value: str, notes: list[str]) -> Asked:
    """Ask for a folded value of a keyword field."""
    if field == "source":
        return ALL if value == "x" else NOTHING
    if field == "author_handle":
        return Operand(f"from:{value}") if HANDLE.fullmatch(value) else NOTHING
    if field == "hashtags" and _is_word(value) and re.fullmatch(r"\w+", value):
        return Operand(f"#{value}")
    if field == "domains":
        return _domain(value)
    if field == "lang" and value in _LANGUAGES:
        return alternatives([Operand(f"lang:{code}", weak=True) for code in _LANGUAGES[value]])
    notes.append(f"`{field}:{value[:60]}`: X has no operator for it, so it is not asked for")
    return ALL


def _domain(value: str) -> Asked:
    try:
        host = value if value.isascii() else value.encode("idna").decode("ascii")
    except UnicodeError:
        return NOTHING
    return Operand(f'url:"{host}"') if re.fullmatch(r"[a-z0-9._:-]+", host) else NOTHING
