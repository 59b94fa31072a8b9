"""Compose files as Docker Compose reads them, by its own loader (a small Go program)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLE = ROOT / ".env.example"


class Refused(Exception):
    """The loader does not take the files; the message is its own."""


@cache
def _loader() -> Path:
    """Build the loader; Go keeps what it compiled, so that only the first time takes half a minute."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise AssertionError("found no Go (go) on PATH, which reads the compose files: run tests/install-deploy.sh")
    target = HERE / ".built" / "compose"
    target.parent.mkdir(exist_ok=True)
    made = subprocess.run([go, "build", "-o", str(target), "."], cwd=HERE, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise AssertionError(f"the loader could not be built:\n{made.stderr[-4000:]}")
    return target


def load(env_file: Path, *files: Path) -> dict[str, Any]:
    """Give the resolved project.

    Raises:
        Refused: the loader does not take it.
    """
    done = subprocess.run([_loader(), env_file, *files], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr)
    project: dict[str, Any] = json.loads(done.stdout)
    return project


def variables(text: str) -> set[str]:
    """Give the names that `${NAME...}` asks for."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z_][A-Z0-9_]*)", text))


def example_values(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Give what an example of an environment file sets, and what it shows behind a # as the default."""
    set_here = dict(re.findall(r"^([A-Z_][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))
    shown = dict(re.findall(r"^#([A-Z_][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))
    return set_here, shown
