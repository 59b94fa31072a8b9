"""Finding a Java that is new enough, among all that the machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from servers.artifacts import servers_folder
from servers.process import ServerFailed

_VERSION = re.compile(r'version "(\d+)')


def _homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if program := shutil.which("java"):
        yield Path(program).resolve().parent.parent
    yield from sorted(Path("/usr/lib/jvm").glob("*"))
    # What tests/install-servers.sh brings where the system has none.
    yield from sorted(servers_folder().glob("java/*/java-runtime"))


@cache
def _version(program: Path) -> int:
    """Give the major version of a java program, 0 when it does not say."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = _VERSION.search(said)
    return int(found[1]) if found else 0


def java_home(at_least: int) -> Path:
    """Give the home of a Java of this major version or newer: JAVA_HOME, PATH, the system's, then our own.

    Raises:
        ServerFailed: there is none.
    """
    for home in _homes():
        if _version(home / "bin" / "java") >= at_least:
            return home
    raise ServerFailed(
        f"found no Java {at_least} or newer in JAVA_HOME, on PATH, in /usr/lib/jvm or {servers_folder() / 'java'}: "
        "run tests/install-servers.sh, or install one and set JAVA_HOME"
    )


def main() -> None:
    """Print the home of a Java new enough for both servers, for tests/install-servers.sh."""
    print(java_home(21))


if __name__ == "__main__":
    main()
