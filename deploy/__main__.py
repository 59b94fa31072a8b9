"""The one-shot steps of docker-compose.yml: `python -m deploy access`, then `python -m deploy kibana`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.access import Passwords, grant
from deploy.json_http import Server
from deploy.kibana.__main__ import OBJECTS
from deploy.kibana.importing import import_objects
from domain.errors import BackendDown, ConfigError

# A first start on a slow disk; compose's own healthchecks have waited already.
PATIENCE_SECONDS: Final = 300.0
SUPERUSER: Final = "elastic"


def main(arguments: Sequence[str], environ: Mapping[str, str], *, patience_seconds: float = PATIENCE_SECONDS) -> int:
    """Do one step; give the exit status: 0, 1 for a server that is away, 2 for what must be mended first."""
    try:
        if arguments == ["access"]:
            for line in grant(_elastic(environ), Passwords.read(environ), patience_seconds=patience_seconds):
                print(f"access: {line}")
        elif arguments == ["kibana"]:
            number = import_objects(_kibana(environ), OBJECTS, patience_seconds=patience_seconds)
            print(f"kibana: {number} objects imported")
        else:
            raise ConfigError("expected one of: access, kibana")
    except ConfigError as exc:
        print("\n".join(exc.problems), file=sys.stderr)
        return 2
    except BackendDown as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _elastic(environ: Mapping[str, str]) -> Server:
    address, password = _required(environ, "ELASTIC_URL", "ELASTIC_PASSWORD")
    authority = environ.get("ELASTIC_CA", "")
    return Server("Elasticsearch", address, SUPERUSER, password, Path(authority) if authority else None)


def _kibana(environ: Mapping[str, str]) -> Server:
    address, password = _required(environ, "KIBANA_URL", "ELASTIC_PASSWORD")
    return Server("Kibana", address, SUPERUSER, password)


def _required(environ: Mapping[str, str], *names: str) -> list[str]:
    missing = [f"environment: {name}: is not set" for name in names if not environ.get(name)]
    if missing:
        raise ConfigError(missing)
    return [environ[name] for name in names]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
