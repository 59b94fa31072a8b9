"""Putting `soundings.ndjson` into a running Kibana. Its answer may be 200 and still say that nothing was created."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.json_http import Server
from domain.errors import ConfigError


def import_objects(kibana: Server, objects: Path, *, patience_seconds: float) -> int:
    """Import a file of saved objects, over what an earlier import left; give how many there are now.

    Args:
        kibana: Kibana, as a user that may manage saved objects.
        objects: the NDJSON file.
        patience_seconds: for how long a Kibana that is still starting is waited for.

    Raises:
        ConfigError: Kibana did not take every object; each refusal is a problem of its own.
        BackendDown: it cannot be reached.
    """
    content = objects.read_bytes()
    expected = sum(1 for line in content.splitlines() if line.strip())
    boundary = secrets.token_hex(16)
    raw = b"".join(
        (
            f"--{boundary}\r\n".encode(),
            # Kibana looks at the ending of the name, not at the type.
            f'Content-Disposition: form-data; name="file"; filename="{objects.name}"\r\n'.encode(),
            b"Content-Type: application/ndjson\r\n\r\n",
            content,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    answer = kibana.ask(
        "POST",
        "/api/saved_objects/_import?overwrite=true",
        raw=raw,
        # Without this header Kibana takes a request for a forged one.
        headers={"kbn-xsrf": "soundings", "Content-Type": f"multipart/form-data; boundary={boundary}"},
        patience_seconds=patience_seconds,
    )
    if not isinstance(answer, dict) or answer.get("success") is not True:
        raise ConfigError(_refusals(answer))
    if answer.get("successCount") != expected:
        raise ConfigError(f"Kibana took {answer.get('successCount')} objects of {expected} in {objects.name}")
    return expected


def _refusals(answer: Any) -> list[str]:
    errors = answer.get("errors", []) if isinstance(answer, dict) else []
    return [_refusal(error) for error in errors] or [f"Kibana imported nothing and said: {json.dumps(answer)[:500]}"]


def _refusal(error: Mapping[str, Any]) -> str:
    return f"Kibana refused {error.get('type')} {error.get('id')}: {json.dumps(error.get('error'))[:500]}"
