"""The program's own log: lines for people or one JSON object a line, and in neither what people wrote.

Messages of ours name records by place and reason. An exception of a library may quote the text that it failed on, so of
a traceback only the types and the places in the code are written, unless the level is debug.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO, TypeAlias

from domain.safe_text import safe
from service.settings import LoggingSettings

# The least that is let through of libraries at DEBUG, and else. They tell of each request; kafka-python writes down
# whole ones at DEBUG: the one that signs in holds the password, others hold what people wrote. It tells four times of
# each connection that fails, and raises what is behind it, which our own log tells once a try.
_CHATTY = {
    "elastic_transport": (logging.DEBUG, logging.WARNING),
    "kafka": (logging.INFO, logging.CRITICAL),
    "urllib3": (logging.DEBUG, logging.WARNING),
}

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure_logging(settings: LoggingSettings, role: str, stream: TextIO | None = None) -> None:
    """Write the log of this process, `role`, to a stream (standard error) from now on."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    handler = logging.StreamHandler(stream or sys.stderr)
    quiet = level > logging.DEBUG
    handler.setFormatter(JsonLines(role, quiet) if settings.format == "json" else TextLines(role, quiet))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for library, (at_debug, else_least) in _CHATTY.items():
        logging.getLogger(library).setLevel(max(level, else_least if quiet else at_debug))


def as_logged(text: str, level: int) -> str | None:
    """Give a line that is not for the log as one of it, where that is JSON: who reads it can read nothing else."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            about = {"name": "service", "msg": text, "levelno": level, "levelname": logging.getLevelName(level)}
            return handler.formatter.format(logging.makeLogRecord(about))
    return None


class TextLines(logging.Formatter):
    """`enrich: WARNING what happened`, a traceback below it."""

    def __init__(self, role: str, quiet: bool) -> None:
        super().__init__(f"{role}: %(levelname)s %(message)s")
        self._quiet = quiet

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A message may name a file or a server, whose names others chose: it stays one line.
        record.message = safe(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _ExcInfo) -> str:
        return _trace(ei) if self._quiet else super().formatException(ei)


class JsonLines(logging.Formatter):
    """One object a line: at, level, role, process, logger, message, and trace where there is one."""

    def __init__(self, role: str, quiet: bool) -> None:
        super().__init__()
        self._role, self._quiet = role, quiet

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "process": os.getpid(),
            "thread": record.threadName,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = _trace(record.exc_info) if self._quiet else self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def _trace(info: _ExcInfo) -> str:
    """Give types and places of an exception and its causes, the first cause first; never its message."""
    error = info[1]
    lines: list[str] = []
    while error is not None:
        places = [
            f"  {os.path.basename(os.path.dirname(frame.filename))}/{os.path.basename(frame.filename)}:{frame.lineno} "
            f"{frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        lines = [type(error).__name__, *places, *lines]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)
