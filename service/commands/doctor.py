"""`soundings doctor`: whether everything that is configured can be used."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from domain.errors import BackendDown, ConfigError
from service.command import Command, add_config, add_data_dir, add_engine, load_settings
from service.settings import Settings
from service.terminal import safe

_PATIENCE_SECONDS = 5.0


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)
    add_engine(parser)
    parser.add_argument(
        "--ready", action="store_true", help="only ask the process on health.port of this machine whether it is ready"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _run(options: Namespace) -> int:
    from service.doctor import examine

    settings = load_settings(options)
    if options.ready:
        return _ask(settings)
    wrong = down = 0
    for finding in examine(settings):
        wrong += bool(finding.problems) and not finding.down
        down += finding.down
        if options.json:
            fields = ("part", "facts", "notes", "problems", "down")
            print(json.dumps({name: getattr(finding, name) for name in fields}), flush=True)
            continue
        mark = "ok" if not finding.problems else "down" if finding.down else "wrong"
        print(safe(f"{mark:<6}{finding.part}: {'; '.join(finding.facts)}".rstrip(": ")), flush=True)
        for line in finding.problems:
            print(safe(f"      {line}"), flush=True)
        for line in finding.notes:
            print(safe(f"      note: {line}"), flush=True)
    return 2 if wrong else 1 if down else 0


def _ask(settings: Settings) -> int:
    """Ask `/readyz` of the process on this machine; 0 when it is ready.

    Raises:
        ConfigError: nobody knows its port.
        BackendDown: it is not ready, or does not answer.
    """
    if settings.health.port == 0:
        raise ConfigError("health.port: is 0, a free port that only the process knows; set one")
    host = settings.health.host
    # Listening on all addresses, it answers on this one.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not listened on
    address = f"http://[{host}]" if ":" in host else f"http://{host}"
    url = f"{address}:{settings.health.port}/readyz"
    try:
        with urlopen(Request(url), timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310  http, to this machine
            print(answer.read().decode().strip())
            return 0
    except HTTPError as exc:
        with exc:
            raise BackendDown(f"{url}: not ready: {exc.read().decode('utf-8', 'replace').strip()}") from exc
    except OSError as exc:
        raise BackendDown(f"{url}: does not answer: {exc}") from exc


COMMAND = Command(
    "doctor",
    "Check everything that is configured, and say how to mend what is wrong.",
    "Looks at access, brands, the data folder's disk, the engine, the log and the store, each by what a worker does\n"
    "first. Changes nothing. Exit code 0 when all is well, 2 when something must be mended, 1 when something only\n"
    "does not answer now.",
    _arguments,
    _run,
)
