"""A process that listens to the webhook over a log, and kills itself about a settlement where it is told to.

Started by test_webhook.py with the path of the log, the port, and `before`, `after` or `never`. Says `listening`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fakes.live_webhook import SECRET

from domain.brand import Brand
from domain.clock import SystemClock
from domain.listening import SourceState
from ingest.live import listen
from ingest.matching import BrandMatcher
from ingest.stage import IngestStage
from ingest.status import SourceWatch
from ingest.webhook import WebhookSettings, WebhookSource
from stream.embedded import EmbeddedLog
from stream.protocol import Settlement


class MortalLog(EmbeddedLog):
    """A log whose process dies when something is settled that goes on."""

    die = "never"

    def settle(self, settlement: Settlement) -> None:
        mortal = self.die if settlement.outputs else "never"
        if mortal == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().settle(settlement)
        if mortal == "after":
            os.kill(os.getpid(), signal.SIGKILL)


def main(path: Path, port: int, die: str) -> None:
    clock = SystemClock()
    MortalLog.die = die
    log = MortalLog.open(path, clock=clock)
    source = WebhookSource(WebhookSettings(secrets=(SECRET,), port=port), clock)
    watch = SourceWatch(source.name, clock)
    brand = Brand(brand_id="acme", name="Acme", query="acme", query_revision=1)
    stage = IngestStage(log, BrandMatcher((brand,)), clock)
    threading.Thread(
        target=listen,
        args=(source, stage, log, clock),
        kwargs={"stop": threading.Event(), "watch": watch},
        daemon=True,
    ).start()
    while watch.look().state is not SourceState.LISTENING:
        time.sleep(0.01)
    print("listening", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
