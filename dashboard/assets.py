"""Static files and templates, read once from the package: no path of a request ever reaches the file system."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import jinja2

from dashboard import display, listening

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file. `version` is a hash of its content: an address that carries it may be cached for ever."""

    content: bytes
    media_type: str
    version: str


def load_assets() -> dict[str, Asset]:
    """Read all static files, by name."""
    assets = {}
    for path in sorted((_FOLDER / "static").iterdir()):
        if path.suffix in _MEDIA_TYPES:
            content = path.read_bytes()
            assets[path.name] = Asset(content, _MEDIA_TYPES[path.suffix], sha256(content).hexdigest()[:12])
    return assets


def load_templates(assets: dict[str, Asset]) -> jinja2.Environment:
    """Make the templates' environment: everything is escaped, and an unknown name is a mistake."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        age=display.age,
        exact=display.exact,
        grouped=display.grouped,
        hundredths=display.hundredths,
        lasted=listening.lasted,
        recovery=listening.recovery,
        relative=display.relative,
    )
    templates.globals["asset"] = lambda name: f"/static/{name}?v={assets[name].version}"
    return templates
