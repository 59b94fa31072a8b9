"""Who asks: the name that a change is noted under."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from dashboard.access import AccessSettings

SOMEBODY: Final = "somebody on the page"
_MAX_NAME: Final = 200


class Askers:
    """Knows who asks where a trusted proxy says it; elsewhere everybody is somebody."""

    def __init__(self, access: AccessSettings) -> None:
        self._header = access.proxy_header if access.auth == "proxy" else ""

    def name(self, request: Request) -> str:
        """Give the name of whoever asks."""
        # The door let nobody in who came past the proxy, so the header is the proxy's.
        given = request.headers.get(self._header, "") if self._header else ""
        # Bytes of a header are read as Latin-1; proxies write names in UTF-8.
        given = given.encode("latin-1").decode("utf-8", "replace")
        return "".join(one for one in given if one.isprintable()).strip()[:_MAX_NAME] or SOMEBODY
