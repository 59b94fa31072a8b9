"""Forms that pages of ours send."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qs

from starlette.requests import Request

# A brand's query and its words; what is longer is no form of ours.
MAX_FORM_BYTES = 65_536
# A form that chooses among brands has a field for each.
MAX_FIELDS = 1_200


async def read_form(request: Request, most: int = MAX_FORM_BYTES) -> dict[str, str]:
    """Read a small form, the first value of each field; an empty one where it is none of ours."""
    return {name: values[0] for name, values in (await read_fields(request, most)).items()}


async def read_fields(request: Request, most: int = MAX_FORM_BYTES) -> dict[str, list[str]]:
    """Read a small form, all values of each field; an empty one where it is none of ours."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            return {}
    with suppress(ValueError):
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS, keep_blank_values=True)
    return {}
