"""Settings of Mastodon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain.brand import Brand
from domain.errors import BadRecord, ConfigError
from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource, RawPost

_TAG = re.compile(r"\w{1,100}")
_INSTANCE = re.compile(r"(?:https?://)?[\w.-]{1,253}(?::[0-9]{1,5})?/?")
_PAGE = "docs/sources/mastodon.md"


def _build(context: SourceContext) -> LiveSource:
    from dataclasses import replace

    from ingest.mastodon import MastodonSettings, MastodonSource

    problems: list[str] = []
    settings = MastodonSettings(
        tokens=_tokens(context.texts("instances"), context.values["token"], problems),
        timeline=context.values["timeline"],
        tags=_tags(context.texts("hashtags"), problems),
        respect_noindex=context.values["respect_noindex"],
        silence_seconds=context.values["silence_seconds"],
        catch_up_pages=context.values["catch_up_pages"],
        normalise=replace(context.normalise, html="always"),
        allow_private=context.allow_private,
    )
    if settings.tags and settings.timeline == "remote":
        problems.append("source.mastodon.timeline: hashtags come from everywhere, or with `local` from the instance")
    if problems:
        raise ConfigError(problems)
    return MastodonSource(settings, context.clock, is_ours=_Ours(context))


class _Ours:
    """Tells which posts a brand is named in, as the ingest stage will find."""

    def __init__(self, context: SourceContext) -> None:
        from ingest.normalise import Normaliser

        self._normaliser, self._clock = Normaliser("mastodon", context.normalise), context.clock
        self.brands_changed(context.brands)

    def brands_changed(self, brands: Sequence[Brand]) -> None:
        from ingest.matching import BrandMatcher

        self._matcher = BrandMatcher(tuple(brands))

    def __call__(self, post: RawPost) -> bool:
        try:
            return bool(self._matcher.match(self._normaliser.normalise(post, self._clock.now())))
        except BadRecord:
            return False


def _tags(names: Sequence[str], problems: list[str]) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(name.strip().lstrip("#") for name in names))
    problems += [
        f"source.mastodon.hashtags: found {ascii(tag)[:60]}, expected letters, digits and _"
        for tag in tags
        if not _TAG.fullmatch(tag)
    ]
    return tags


def _tokens(instances: Sequence[str], secret: str, problems: list[str]) -> dict[str, str]:
    """Give the token of each instance by its address."""
    addresses = {_host(name): _address(name) for name in instances}
    if not addresses:
        problems.append(f"source.mastodon.instances: is empty, expected the names of instances; see {_PAGE}")
    problems += [
        f"source.mastodon.instances: found {ascii(name)[:60]}, expected a name such as mastodon.social"
        for name in instances
        if not _INSTANCE.fullmatch(name.strip())
    ]
    tokens: dict[str, str] = {}
    strange = 0
    parts_of_secret = re.split(r"[\s,]+", secret.strip()) if secret.strip() else []
    for part in parts_of_secret:
        name, separator, token = part.partition("=")
        host = _host(name)
        if not separator and len(parts_of_secret) == 1 and len(addresses) == 1:
            (host,), token = addresses, part
        if host in addresses and token:
            tokens[host] = token
        else:
            strange += 1
    if strange and addresses:
        # What was meant as a secret is not repeated.
        found = "a token" if strange == 1 else f"{strange} parts that are a token"
        problems.append(
            f"source.mastodon.token: found {found} for none of source.mastodon.instances ({', '.join(addresses)}), "
            f"expected `instance=token`, several with a space between them; see {_PAGE}"
        )
    problems += [
        f"source.mastodon.token: is missing for {host}; see {_PAGE}" for host in addresses if host not in tokens
    ]
    return {address: tokens.get(host, "") for host, address in addresses.items()}


def _address(name: str) -> str:
    name = name.strip().rstrip("/")
    return name if "://" in name else f"https://{name}"


def _host(name: str) -> str:
    return _address(name).partition("://")[2].lower()


MASTODON = SourceKind(
    name="mastodon",
    summary="public posts of Mastodon, as its instances see them",
    settings=(
        Setting("source.mastodon.instances", "texts", (), "the instances to listen at, such as mastodon.social"),
        Setting(
            "source.mastodon.token",
            "secret",
            "",
            "the access token; with several instances `instance=token` for each, a space between them",
        ),
        Setting("source.mastodon.token_file", "path", "", "a file that holds it, in one line"),
        Setting(
            "source.mastodon.timeline",
            "choice",
            "public",
            "what to listen to: all that an instance sees, what is written there, or what comes from elsewhere",
            choices=("public", "local", "remote"),
        ),
        Setting(
            "source.mastodon.hashtags", "texts", (), "listen to these hashtags alone; they hold replies to others too"
        ),
        Setting(
            "source.mastodon.respect_noindex",
            "boolean",
            True,
            "whether posts of authors who ask search engines not to index them are left out",
        ),
        Setting(
            "source.mastodon.silence_seconds",
            "number",
            45.0,
            "how long a stream may be silent, heartbeats included, before it is taken for dead (seconds)",
            minimum=1,
            maximum=3600,
        ),
        Setting(
            "source.mastodon.catch_up_pages",
            "integer",
            250,
            "how much is fetched after a gap, for each timeline (pages of 40 posts)",
            minimum=0,
            maximum=100_000,
        ),
    ),
    build=_build,
    has_past=True,
    needs="sources",
)
