"""Documents as the contract's tests open them, in this process or in another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fakes.elastic_stores import settings_for

from domain.documents import Documents
from search.elastic_documents import ElasticDocuments
from search.elastic_http import Elastic
from search.elastic_setup import template
from search.sqlite_documents import SqliteDocuments

ROOT = Path(__file__).resolve().parents[2]
PROCESS = Path(__file__).with_name("document_process.py")


def open_documents(where: Sequence[str]) -> Documents:
    """Open `("sqlite", path)` or `("elastic", url, prefix)`."""
    if where[0] == "sqlite":
        return SqliteDocuments.open(Path(where[1]))
    return ElasticDocuments.open(settings_for(where[1], where[2]))


def set_up_documents(url: str, prefix: str) -> None:
    """Make the one index that is needed: a whole setup for each test would take longer than the tests."""
    settings = settings_for(url, prefix)
    elastic = Elastic(settings)
    try:
        elastic.ask("PUT", f"/_index_template/{settings.names.documents}", template("documents", settings))
        elastic.ask("PUT", f"/{settings.names.documents}", {})
    finally:
        elastic.close()


def start_process(where: Sequence[str], *doing: str) -> subprocess.Popen[str]:
    """Start a process of its own over the same documents (see document_process.py)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROCESS), *where, *doing]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
