"""Settings of the webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource


def _build(context: SourceContext) -> LiveSource:
    from ingest.webhook import WebhookSettings, WebhookSource

    settings = WebhookSettings(
        secrets=(context.values["secret"], context.values["old_secret"]),
        host=context.values["host"],
        port=context.values["port"],
        requests_per_minute=context.values["requests_per_minute"],
        normalise=context.normalise,
    )
    return WebhookSource(settings, context.clock)


WEBHOOK = SourceKind(
    name="webhook",
    summary="posts that other programs send, signed, to an address of ours",
    settings=(
        Setting("source.webhook.host", "text", "127.0.0.1", "address on which `POST /api/posts` is taken"),
        Setting("source.webhook.port", "integer", 8010, "its port; 0 takes a free one", minimum=0, maximum=65535),
        Setting("source.webhook.secret", "secret", "", "what requests are signed with: 32 characters or more"),
        Setting("source.webhook.secret_file", "path", "", "file that holds `source.webhook.secret`"),
        Setting(
            "source.webhook.old_secret", "secret", "", "one that is still accepted, while senders change to a new one"
        ),
        Setting("source.webhook.old_secret_file", "path", "", "file that holds `source.webhook.old_secret`"),
        Setting(
            "source.webhook.requests_per_minute",
            "number",
            600.0,
            "how many requests are taken; a tenth of it at once",
            minimum=1,
            maximum=60000,
        ),
    ),
    build=_build,
)
