"""A worker that kills itself with SIGKILL at a labelled step: `python -m e2e.failing_worker STEP TIMES ARGUMENT ...`.

The arguments are those of `soundings`. The program itself knows nothing of steps: what it calls is wrapped here.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

# The steps, in the order in which a batch meets them; which workers meet them.
STEPS: dict[str, tuple[str, ...]] = {
    "after poll": ("enrich", "index"),
    "after model": ("enrich",),
    "after the outputs, before the commit": ("ingest", "enrich"),
    "before bulk": ("index",),
    "after bulk, before the commit": ("index",),
    "during the commit": ("enrich", "index"),
    "after the commit": ("enrich", "index"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_soon() -> None:
    """Die within a few milliseconds, while the calling thread goes on."""
    threading.Timer(random.uniform(0.0, 0.004), die).start()


class Fuse:
    """Burns down by one each time its step is met."""

    def __init__(self, times: int) -> None:
        self._left = times

    def burnt(self) -> bool:
        self._left -= 1
        return self._left == 0


def wrap(owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None):
    """Have something called before or after a method; it gets the arguments and, after, the result."""
    inner = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args, **kwargs)
        result = inner(*args, **kwargs)
        if after is not None:
            after(result, *args, **kwargs)
        return result

    setattr(owner, name, wrapped)


def arm(step: str, times: int) -> None:
    """Let this process die at a step, the `times`-th time that it is met."""
    from enrich.tiny_engine import TinyEngine
    from search.elastic_bulk import Bulk
    from stream import kafka, kafka_member

    fuse = Fuse(times)

    def now(*_: Any, **__: Any) -> None:
        if fuse.burnt():
            die()

    def if_some(result: Any, *_: Any, **__: Any) -> None:
        if result and fuse.burnt():
            die()

    def soon(*_: Any, **__: Any) -> None:
        if fuse.burnt():
            die_soon()

    match step:
        case "after poll":
            wrap(kafka_member.Member, "poll", after=if_some)
        case "after model":
            wrap(TinyEngine, "predict", after=now)
        case "after the outputs, before the commit":
            wrap(kafka._Broker, "send", after=if_some)
        case "before bulk":
            wrap(Bulk, "write", before=now)
        case "after bulk, before the commit":
            wrap(Bulk, "write", after=now)
        case "during the commit":
            wrap(kafka._Subscriber, "commit", before=soon)
        case "after the commit":
            wrap(kafka._Subscriber, "commit", after=now)
        case _:
            raise ValueError(f"found the step {step!r}, expected one of {', '.join(STEPS)}")


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    from service.cli import main

    sys.exit(main(sys.argv[3:]))
