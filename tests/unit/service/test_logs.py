"""The program's own log: one object a line where asked for, and never what people wrote."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from service.logs import configure_logging
from service.settings import LoggingSettings

CANARY = "canary-of-a-post"


@pytest.fixture(autouse=True)
def kept_logging() -> Iterator[None]:
    """Put the log of the test run back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def fail() -> None:
    try:
        raise ValueError(f"cannot read {CANARY!r}")
    except ValueError as exc:
        raise RuntimeError(f"about {CANARY}") from exc


def written(settings: LoggingSettings) -> str:
    """Give what is written of a warning with a traceback and of a debug line."""
    stream = io.StringIO()
    configure_logging(settings, "enrich", stream)
    log = logging.getLogger("stream.worker")
    try:
        fail()
    except RuntimeError:
        log.warning("stage %s failed\non two lines", "enrich", exc_info=True)
    log.debug("the text was %s", CANARY)
    return stream.getvalue()


def test_json_is_one_object_a_line() -> None:
    (line,) = written(LoggingSettings("json", "info")).splitlines()
    found = json.loads(line)
    assert found["level"] == "warning"
    assert found["role"] == "enrich"
    assert found["logger"] == "stream.worker"
    assert found["message"] == "stage enrich failed\non two lines"
    assert found["at"].endswith("+00:00")
    assert "ValueError" in found["trace"]
    assert "test_logs.py" in found["trace"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_by_type_and_place_and_not_by_what_it_quotes(form: str) -> None:
    told = written(LoggingSettings(form, "info"))
    assert "RuntimeError" in told
    assert "test_logs.py" in told
    assert CANARY not in told


@pytest.mark.parametrize("form", ["text", "json"])
def test_debug_tells_everything(form: str) -> None:
    told = written(LoggingSettings(form, "debug"))
    assert told.count(CANARY) >= 3


def test_text_is_for_people() -> None:
    assert written(LoggingSettings("text", "info")).startswith("enrich: WARNING stage enrich failed")


def test_a_name_that_others_chose_forges_no_line() -> None:
    stream = io.StringIO()
    configure_logging(LoggingSettings(), "pipeline", stream)
    logging.getLogger("x").warning("%s cannot be read", "new\nup: ERROR forged \x1b[31m\u202e.csv")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()
