"""The HTML of mails: one column that fits a telephone, styles inside, nothing loaded from anywhere, all text escaped.

Mail programs know little of CSS, so a mail is tables and inline styles; what is built here is safe to put together, as
nothing but `Html` of these functions is taken unescaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NewType

from alerts.escaping import html
from alerts.rule import Severity

# Markup that is safe: made here, with every text in it escaped.
Html = NewType("Html", str)

_INK, _SOFT, _LINE, _ACCENT, _GROUND = "#111827", "#4b5563", "#e5e7eb", "#1d4ed8", "#f3f4f6"
_FONT: Final = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
# White writing on each is at least 4.5 : 1.
COLOURS: Final = {Severity.INFO: "#4b5563", Severity.WARNING: "#b45309", Severity.CRITICAL: "#b91c1c"}


def text(words: str) -> Html:
    """Escape words."""
    return Html(html(words))


def joined(parts: Sequence[Html]) -> Html:
    """Put parts one after the other."""
    return Html("".join(parts))


def heading(words: str) -> Html:
    """Give the heading of a part."""
    return Html(f'<h2 style="margin:24px 0 8px;font-size:16px;line-height:1.3;color:{_INK}">{html(words)}</h2>')


def title(words: str) -> Html:
    """Give the one heading of the mail."""
    return Html(f'<h1 style="margin:8px 0 8px;font-size:21px;line-height:1.3;color:{_INK}">{html(words)}</h1>')


def paragraph(words: str, *, soft: bool = False) -> Html:
    """Give a paragraph; a `soft` one is grey and small."""
    colour, size = (_SOFT, 13) if soft else (_INK, 15)
    return Html(f'<p style="margin:0 0 10px;font-size:{size}px;line-height:1.5;color:{colour}">{html(words)}</p>')


def plain_paragraph(parts: Sequence[Html]) -> Html:
    """Give a paragraph of parts that are escaped already."""
    return Html(f'<p style="margin:0 0 10px;font-size:15px;line-height:1.5;color:{_INK}">{joined(parts)}</p>')


def badge(words: str, severity: Severity) -> Html:
    """Give a word on a coloured ground."""
    return Html(
        f'<span style="display:inline-block;padding:2px 10px;border-radius:10px;font-size:12px;color:#ffffff;'
        f'background:{COLOURS[severity]}">{html(words)}</span>'
    )


def image(cid: str, words: str) -> Html:
    """Give the picture of this mail that has a Content-ID, as wide as the mail; `words` say what it shows."""
    return Html(
        f'<img src="cid:{html(cid)}" alt="{html(words)}" width="600" '
        'style="display:block;width:100%;height:auto;border:0;margin:12px 0">'
    )


def button(words: str, link: str, *, main: bool = True) -> Html:
    """Give a link that looks like a button; nothing where there is no link."""
    if not link:
        return Html("")
    ground, ink = (_ACCENT, "#ffffff") if main else ("#ffffff", _ACCENT)
    return Html(
        f'<a href="{html(link)}" style="display:inline-block;margin:6px 8px 6px 0;padding:10px 16px;border-radius:6px;'
        f'border:1px solid {_ACCENT};background:{ground};color:{ink};font-size:15px;text-decoration:none">'
        f"{html(words)}</a>"
    )


def link(words: str, address: str) -> Html:
    """Give a link in a text; the words alone where there is no address."""
    if not address:
        return text(words)
    return Html(f'<a href="{html(address)}" style="color:{_ACCENT}">{html(words)}</a>')


def with_note(main: Html, note: str) -> Html:
    """Give a value with a small note below it."""
    return Html(f'{main}<br><span style="font-size:12px;color:{_SOFT}">{html(note)}</span>' if note else main)


def quote(words: str, about: Sequence[Html]) -> Html:
    """Give what somebody wrote, in its own direction of writing, and a line about it."""
    return Html(
        f'<div style="margin:0 0 12px;padding:8px 12px;border-left:3px solid {_LINE}">'
        f'<div dir="auto" style="font-size:15px;line-height:1.5;color:{_INK};overflow-wrap:anywhere;'
        f'word-break:break-word">{html(words)}</div>'
        f'<div style="margin-top:2px;font-size:13px;color:{_SOFT};overflow-wrap:anywhere">{" · ".join(about)}</div>'
        "</div>"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[Html]]) -> Html:
    """Give a table; all columns but the first hold numbers and stand to the right."""
    cells = [
        "".join(
            f'<th align="{"left" if place == 0 else "right"}" style="padding:4px 8px 4px 0;font-size:13px;'
            f'font-weight:normal;color:{_SOFT};border-bottom:1px solid {_LINE}">{html(head)}</th>'
            for place, head in enumerate(heads)
        )
    ]
    for row in rows:
        cells.append(
            "".join(
                f'<td align="{"left" if place == 0 else "right"}" style="padding:6px 8px 6px 0;font-size:14px;'
                f"color:{_INK};border-bottom:1px solid {_LINE};font-variant-numeric:tabular-nums;"
                f'overflow-wrap:break-word">{cell}</td>'
                for place, cell in enumerate(row)
            )
        )
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return Html(f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0">{body}</table>')


def page(subject: str, preview: str, parts: Sequence[Html], foot: Sequence[Html]) -> str:
    """Give a whole mail. `preview` is what a list of mails shows beside the subject."""
    below = "".join(f'<p style="margin:0 0 6px">{line}</p>' for line in foot)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light"><meta name="supported-color-schemes" content="light">'
        f"<title>{html(subject)}</title></head>"
        f'<body style="margin:0;padding:0;background:{_GROUND};{_FONT}">'
        f'<div style="display:none;max-height:0;overflow:hidden">{html(preview)}</div>'
        f'<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:{_GROUND}">'
        '<tr><td align="center" style="padding:16px 8px">'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" '
        'style="max-width:640px;background:#ffffff;border-radius:8px">'
        f'<tr><td style="padding:20px 20px 24px">{"".join(parts)}</td></tr>'
        f'<tr><td style="padding:14px 20px 18px;border-top:1px solid {_LINE};font-size:12px;line-height:1.5;'
        f'color:{_SOFT}">{below}</td></tr></table></td></tr></table></body></html>'
    )
