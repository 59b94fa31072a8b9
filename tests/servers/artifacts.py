"""The servers' files, brought by Maven once and kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from servers.process import ServerFailed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def servers_folder() -> Path:
    """Give the folder that keeps the servers: SOUNDINGS_SERVERS_DIR, else `.servers` in the checkout."""
    return Path(os.environ.get("SOUNDINGS_SERVERS_DIR") or ROOT / ".servers").resolve()


def kafka_jars() -> Path:
    """Give the folder of the broker's jars, fetched at the first call."""
    return _kept("kafka", "copy-dependencies")


def elastic_home() -> Path:
    """Give the unpacked Elasticsearch, fetched at the first call; it is only read."""
    (home,) = _kept("elastic", "unpack-dependencies").glob("elasticsearch-*")
    return home


def compiler_jars() -> Path:
    """Give the folder of a Java compiler's jar, fetched at the first call."""
    return _kept("compiler", "copy-dependencies")


def _kept(name: str, goal: str) -> Path:
    """Give the folder that Maven filled from a pom of ours; another pom is another folder.

    Raises:
        ServerFailed: there is no Maven, or it could not bring the files.
    """
    pom = HERE / f"{name}-pom.xml"
    folder = servers_folder() / f"{name}-{sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        # Two test runs at once: the second finds what the first brought.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _bring(pom, goal, folder)
    return folder


def _bring(pom: Path, goal: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerFailed("found no Maven (mvn) on PATH, which brings the servers: run tests/install-servers.sh")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    # Maven leaves notes of what it did beside the pom.
    shutil.copy(pom, partial / "pom.xml")
    # -C: a file whose checksum is wrong fails the run.
    command = [maven, "-B", "-q", "-C", f"dependency:{goal}", f"-DoutputDirectory={partial / 'files'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=partial)
    if done.returncode != 0 or not (partial / "files").is_dir():
        raise ServerFailed(
            f"Maven could not bring what {pom.name} names:\n{done.stdout[-4_000:]}{done.stderr[-2_000:]}"
        )
    (partial / "files").rename(folder)
    shutil.rmtree(partial)


def main() -> None:
    """Bring both servers, and what the secured one is built with, so that no test waits for it."""
    kafka_jars()
    elastic_home()
    compiler_jars()


if __name__ == "__main__":
    main()
