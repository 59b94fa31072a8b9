"""A real pipeline in this process, with its health port, over a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.listening import address_of, listen
from service.operations import Operations
from service.pipeline import Pipeline
from service.settings import Settings, load
from service.stages import STAGE_NAMES

CONFIG = """
[engine]
kind = "tiny"
[[brands]]
id = "acme"
name = "Acme"
query = "acme"
[[brands]]
id = "globex"
query = "globex"
[[channels]]
id = "hook"
type = "webhook"
# Nobody subscribes: nothing is ever sent there.
url = "https://hooks.example/soundings"
secret_file = "{secret}"
"""


@dataclass(frozen=True)
class Running:
    """A pipeline, what machines see of it, and where."""

    pipeline: Pipeline
    operations: Operations
    settings: Settings
    client: httpx.Client

    def replay(self, file: Path) -> dict[str, object]:
        """Replay a file to its end; gives its books."""
        return self.pipeline.replay(file, lambda progress: None)


@contextmanager
def running_pipeline(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run a pipeline until the block ends; `environ` overrides settings."""
    config = folder / "soundings.toml"
    # In a file: the configuration is read again with the environment of the process, which is not of this test.
    secret = folder / "hook.secret"
    secret.write_text("a secret of this channel, long enough", encoding="utf-8")
    config.write_text(CONFIG.format(secret=secret), encoding="utf-8")
    settings = load(config, environ={"SOUNDINGS_DATA_DIR": str(folder / "data"), **(environ or {})})
    listening = listen("127.0.0.1", 0)
    with (
        httpx.Client(base_url=address_of(listening), trust_env=False, timeout=60) as client,
        Operations(settings, "pipeline", STAGE_NAMES, listening) as operations,
        Pipeline(settings, operations=operations, listens=True) as pipeline,
    ):
        pipeline.start()
        yield Running(pipeline, operations, settings, client)


def write_rows(path: Path, rows: Sequence[object]) -> Path:
    """Write rows as JSON lines; a text is written as it is."""
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def post(number: int, text: str = "acme is fine", **changed: object) -> dict[str, object]:
    """Give a row."""
    return {
        "id": f"p{number}",
        "created_at": "2026-03-01T12:00:00Z",
        "author": "ann",
        "text": f"{text} {number}",
        **changed,
    }
