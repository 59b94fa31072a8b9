"""A child of the supervisor: `python -m service.child pipeline` or `web`, its task on standard input."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import threading
from dataclasses import dataclass

from domain.errors import Busy, ConfigError, ServiceError
from service.lifeline import announce_ready, hold, receive_task
from service.logs import configure_logging
from service.settings import Settings, from_json, to_json
from service.stages import STAGE_NAMES
from service.terminal import complain

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Task:
    """What a child is to do. `descriptor` is the listening socket: of the page, or of the pipeline's health port."""

    settings: Settings
    descriptor: int | None = None

    def encode(self) -> bytes:
        """Write it down for `lifeline.send_task`."""
        return json.dumps({"settings": to_json(self.settings), "descriptor": self.descriptor}).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Task:
        """Read what `encode` wrote."""
        document = json.loads(raw)
        return cls(from_json(document["settings"]), document["descriptor"])


def run_pipeline(task: Task) -> int:
    """Run all stages and the control socket until told to stop."""
    from service.control import ControlServer
    from service.operations import Operations
    from service.pipeline import Pipeline
    from service.requests import handlers

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    health = None if task.descriptor is None else socket.socket(fileno=task.descriptor)
    with (
        Operations(task.settings, "pipeline", STAGE_NAMES, health) as operations,
        Pipeline(task.settings, operations=operations, listens=True) as pipeline,
    ):
        signal.signal(signal.SIGHUP, lambda *_: pipeline.read_again.set())
        for line in pipeline.notices:
            log.warning(line)
        control = ControlServer(task.settings.data.dir, handlers(pipeline))
        try:
            pipeline.start()
            announce_ready()
            pipeline.wait(stop)
        finally:
            control.close()
    return 0


def run_web(task: Task) -> int:
    """Serve the dashboard on the inherited socket until told to stop."""
    from service.components import open_reader
    from service.web_server import WebServer

    assert task.descriptor is not None
    listening = socket.socket(fileno=task.descriptor)
    # It looks at the file with every page that is asked for.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with open_reader(task.settings, role="web") as reader:
        server = WebServer(reader.app(), announce_ready)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        server.serve(listening)
    return 0


def main() -> int:
    """Run the role named on the command line; gives the exit code."""
    role = sys.argv[1]
    task = Task.decode(receive_task())
    configure_logging(task.settings.logging, role)
    hold()
    try:
        return run_pipeline(task) if role == "pipeline" else run_web(task)
    except (ConfigError, Busy) as exc:
        complain(exc.problems if isinstance(exc, ConfigError) else [str(exc)])
        return EXIT_OPERATOR
    except ServiceError as exc:
        complain([f"{role}: {exc}"])
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
