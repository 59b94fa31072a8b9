"""Settings of GDELT."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource


def _build(context: SourceContext) -> LiveSource:
    from ingest.gdelt import GdeltSettings, GdeltSource

    settings = GdeltSettings(
        address=context.values["address"],
        translated=context.values["translated"],
        poll_seconds=context.values["poll_seconds"],
        catch_up_hours=context.values["catch_up_hours"],
        normalise=replace(context.normalise, html="always"),
        allow_private=context.allow_private,
    )
    return GdeltSource(settings, context.clock)


GDELT = SourceKind(
    name="gdelt",
    summary="titles of the world's news, from GDELT",
    settings=(
        Setting(
            "source.gdelt.address",
            "text",
            "https://storage.googleapis.com/data.gdeltproject.org/gdeltv2",
            "where its files are",
        ),
        Setting(
            "source.gdelt.translated",
            "boolean",
            False,
            "whether articles in other languages than English are read too: twice the traffic more",
        ),
        Setting(
            "source.gdelt.poll_seconds",
            "number",
            300.0,
            "how often it looks for a file (seconds)",
            minimum=1,
            maximum=86400,
        ),
        Setting(
            "source.gdelt.catch_up_hours",
            "number",
            24.0,
            "how far back files are fetched after an absence (hours); what is older is a gap",
            minimum=0.25,
            maximum=8760,
        ),
    ),
    build=_build,
    has_past=True,
    # It needs no key, but it moves half a gigabyte a day: whoever wants that says so.
    keyless=False,
)
