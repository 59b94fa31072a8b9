"""Hostile text to plain text: tags, entities, control and direction characters, white space. All of it linear."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from typing import Literal

HtmlMode = Literal["auto", "always", "never"]

# Unicode's stream-safe format (UAX 15): more marks than this on one letter are noise, and sorting them is quadratic.
MAX_MARKS = 30
# Below this length the sorting cannot hurt (under a millisecond), so the slow check is left out.
_MARK_CHECK_FROM = 1000

_BLOCK = frozenset((
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer",
    "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
))  # fmt: skip
_INLINE = frozenset((
    "a", "abbr", "acronym", "audio", "b", "big", "body", "button", "center", "cite", "code", "del", "em", "embed",
    "font", "head", "html", "i", "iframe", "img", "input", "ins", "kbd", "label", "link", "mark", "meta", "object",
    "picture", "q", "s", "samp", "script", "small", "source", "span", "strike", "strong", "style", "sub", "sup",
    "svg", "title", "tt", "u", "var", "video",
))  # fmt: skip
_KNOWN = _BLOCK | _INLINE
_DROPPED = ("script", "style")

# Every `<` looks ahead to the next `<` or `>` only, so a text of `<` costs one step each.
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,15})(?=[\s/>])([^<>]*)>")
_ATTRIBUTE = re.compile(r"""(?<![\w-])(href|class)\s{0,4}=\s{0,4}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
# Only with its semicolon: without, `?a=1&copy=2` would lose its parameter. Bounded, as `int` refuses long digits.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")

# C0, C1, soft hyphen, Arabic letter mark, Mongolian vowel separator, zero width, direction, invisible operators,
# surrogates, byte order mark, interlinear marks, tags: what a reader cannot see and an attacker can hide in.
_ODD = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_REPLACED = {
    "\t": " ",
    "\r": "\n",
    "\x0b": "\n",
    "\x0c": "\n",
    "\x85": "\n",
    "\u2028": "\n",
    "\u2029": "\n",
    # A NUL stood between two things; nothing at all would join them.
    "\x00": " ",
}
_JOINERS = "\u200c\u200d"
# Scripts in which a joiner changes the word: Arabic to Thaana, Indic, Tibetan to Myanmar, Khmer to Mongolian.
_JOINING = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefe]"
)
# Signs and pictographs, variation selectors, skin tones: what an emoji sequence is made of.
_PICTORIAL = re.compile("[\u00a9\u00ae\u203c-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff]")
_BLACK_FLAG = "\U0001f3f4"

_SPACES = re.compile(r"[^\S\n]+")
_LINE_EDGES = re.compile(r" ?\n ?")
_LINE_BREAKS = re.compile(r"[\r\n]")
_BLANK_LINES = re.compile(r"\n{3,}")


def plain_text(text: str, mode: HtmlMode = "auto", *, html: bool | None = None) -> tuple[str, list[str]]:
    """Give a text as a reader sees it, in NFC, and the targets of its HTML anchors (raw, in order).

    Args:
        text: what the source gave, at any length; lone surrogates become U+FFFD.
        mode: `always` and `never` decide; `auto` believes `html`, and where that is None, looks for a known tag.
        html: what the source says about it.

    Returns:
        Text without control, direction or hidden characters; joiners stay in emoji and in scripts that need
        them. Entities are read once. Lines are trimmed, runs of blanks are one, blank lines at most one in a row.
    """
    targets: list[str] = []
    if mode == "always" or (mode == "auto" and (html if html is not None else _looks_like_html(text))):
        text = _strip_tags(text, targets, all_tags=mode == "always" or html is True)
    return tidy(_unescape(text)), targets


def one_line(text: str, limit: int) -> str:
    """Give a short field, such as a name, as one clean line of at most `limit` characters."""
    # Four times: room for characters that cleaning drops, without cleaning megabytes for a name.
    line = tidy(text[: 4 * limit])
    if "\n" in line or not line.isascii():
        line = " ".join(line.split())
    return line[:limit].rstrip()


def tidy(text: str) -> str:
    """Drop what cannot be seen, compose (NFC) and trim white space; no HTML or entities are read."""
    if text.isascii() and text.isprintable():
        # Most texts: spaces are all that there is to trim.
        return " ".join(text.split()) if "  " in text else text.strip()
    text = text.replace("\r\n", "\n")
    text = _ODD.sub(_replace_odd, text)
    if not text.isascii():
        if len(text) > _MARK_CHECK_FROM:
            text = _limit_marks(text)
        text = unicodedata.normalize("NFC", text)
    text = _SPACES.sub(" ", text)
    if "\n" in text:
        text = _BLANK_LINES.sub("\n\n", _LINE_EDGES.sub("\n", text))
    return text.strip()


def _unescape(text: str) -> str:
    return _ENTITY.sub(lambda match: unescape(match[0]), text) if "&" in text else text


def _looks_like_html(text: str) -> bool:
    return any(match[2].lower() in _KNOWN for match in _TAG.finditer(text)) if "<" in text else False


def _strip_tags(text: str, targets: list[str], *, all_tags: bool) -> str:
    parts: list[str] = []
    position, blocks = 0, False
    unclosed: set[str] = set()
    while (start := text.find("<", position)) >= 0:
        parts.append(text[position:start])
        if text.startswith("<!--", start) and (end := _find_once(text, "-->", start, unclosed)) >= 0:
            position = end + 3
            continue
        match = _TAG.match(text, start)
        name = match[2].lower() if match else ""
        if match is None or not (all_tags or name in _KNOWN):
            parts.append("<")
            position = start + 1
            continue
        position = match.end()
        if name in _BLOCK:
            blocks = True
            parts.append("\0")
        elif name == "a" and not match[1]:
            _add_target(match[3], targets)
        elif name in _DROPPED and not match[1] and (end := _find_once(text, f"</{name}", position, unclosed)) >= 0:
            position = end
    parts.append(text[position:])
    if blocks:
        # Where blocks make the lines, the line breaks of the HTML's own source mean nothing.
        return "".join("\n" if part == "\0" else _LINE_BREAKS.sub(" ", part) for part in parts)
    return "".join(parts)


def _find_once(text: str, end: str, start: int, unclosed: set[str]) -> int:
    """Find `end`, but never look twice for one that is not there: a thousand openings would be quadratic."""
    if end in unclosed:
        return -1
    found = text.find(end, start)
    if found < 0:
        unclosed.add(end)
    return found


def _add_target(attributes: str, targets: list[str]) -> None:
    if len(attributes) > 8192:
        return
    values = {match[1].lower(): match[2] or match[3] or match[4] or "" for match in _ATTRIBUTE.finditer(attributes)}
    # Mastodon links its mentions and hashtags; they point at profiles, not at what the post is about.
    if "href" in values and not {"mention", "hashtag"} & set(values.get("class", "").split()):
        targets.append(tidy(_unescape(values["href"])))


def _replace_odd(match: re.Match[str]) -> str:
    char, text, place = match[0], match.string, match.start()
    if char in _REPLACED:
        return _REPLACED[char]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    if char in _JOINERS:
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if _JOINING.match(before) and _JOINING.match(after):
            return char
        return char if char == "\u200d" and _PICTORIAL.match(before) and _PICTORIAL.match(after) else ""
    if "\U000e0020" <= char <= "\U000e007f" and _follows_flag(text, place):
        return char
    return ""


def _follows_flag(text: str, place: int) -> bool:
    """Tell whether a tag character belongs to a regional flag; no flag has more than seven of them."""
    for before in range(place - 1, max(-1, place - 8), -1):
        if not "\U000e0020" <= text[before] <= "\U000e007f":
            return text[before] == _BLACK_FLAG
    return False


def _limit_marks(text: str) -> str:
    kept: list[str] = []
    run = 0
    for char in text:
        run = run + 1 if char > "\u02ff" and unicodedata.combining(char) else 0
        if run <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)
