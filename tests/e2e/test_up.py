"""`soundings up`: two children over one data folder, kept running, and gone when it goes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.command_line import PATIENCE_SECONDS, Soundings, make_posts, write_posts


@dataclass
class Running:
    """`soundings up`, started with the tiny engine on a free port."""

    soundings: Soundings
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def address(self) -> str:
        found = re.search(r"Soundings serves (http://\S+)", self.output.read_text())
        return found.group(1) if found else ""

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=PATIENCE_SECONDS) as answer:
            body: bytes = answer.read()
            return body.decode()

    def children(self) -> dict[str, int]:
        """Give the process ids of the children by role."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                status = (folder / "stat").read_text()
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (OSError, ValueError):
                continue
            if b"service.child" in words and int(status.rpartition(")")[2].split()[1]) == self.process.pid:
                found[words[words.index(b"service.child") + 1].decode()] = int(folder.name)
        return found

    def kill(self) -> None:
        """Kill it, and wait until nothing of it is left: its children end themselves, a moment later."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        self.soundings.wait_for(lambda: not any(alive(pid) for pid in children.values()), "the children's end")

    def wait_until_served(self) -> None:
        self.soundings.wait_for(lambda: bool(self.address) or self.process.poll() is not None, "the page")
        assert self.process.poll() is None, self.output.read_text()


def start(soundings: Soundings, *arguments: str) -> Running:
    output = soundings.folder / "up.log"
    with output.open("wb") as stream:
        process = soundings.start("up", "--engine", "tiny", "--port", "0", *arguments, output=stream)
    return Running(soundings, process, output)


@pytest.fixture
def up(soundings: Soundings) -> Iterator[Running]:
    running = start(soundings)
    running.wait_until_served()
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(PATIENCE_SECONDS)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_serves_the_page_and_the_books_and_stops_on_sigterm(up: Running) -> None:
    assert "<html" in up.text("/")
    request = urllib.request.Request(f"{up.address}/", method="HEAD")
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        assert (answer.status, answer.read()) == (200, b"")
    assert json.loads(up.text("/api/openapi.json"))["openapi"]
    children = up.children()
    assert set(children) == {"pipeline", "web"}
    up.process.terminate()
    assert up.process.wait(PATIENCE_SECONDS) == 0
    assert not any(alive(pid) for pid in children.values())
    assert "Soundings stopped" in up.output.read_text()


def test_a_replay_goes_through_the_running_pipeline_and_is_found_on_the_page(up: Running, posts_file: Path) -> None:
    books = up.soundings.replay(posts_file)
    assert books["read"] == 300
    assert json.loads(up.soundings.run("search", "acme OR globex*", "--json").stdout)["total"] > 0
    up.soundings.wait_for(lambda: "globex" in up.text("/?q=globex*").lower(), "the page")
    again = up.soundings.run("replay", str(posts_file), "--json")
    assert json.loads(again.stdout)["matched"] == 0
    other = up.soundings.run("replay", str(posts_file), "--engine", "exact")
    assert other.returncode == 2
    assert "uses the engine tiny" in other.stderr
    assert up.soundings.run("reindex").returncode == 0
    # Not a brand: those are read again while it runs, maybe before this.
    up.soundings.config.write_text(up.soundings.config.read_text() + '[source.file]\ntimezone = "Europe/Berlin"\n')
    changed = up.soundings.run("replay", str(posts_file))
    assert changed.returncode == 2
    assert "started with other brands" in changed.stderr


def test_a_full_disk_is_told_once_at_the_start(soundings: Soundings) -> None:
    soundings.config.write_text(soundings.config.read_text() + "\n[data]\ndisk_floor_mb = 900000000\n")
    done = soundings.run("up", "--engine", "tiny", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert f"{soundings.data}: " in told
    assert "MB free on its disk, expected at least 900000000 MB (data.disk_floor_mb)" in told


def test_a_second_one_on_the_same_folder_is_refused(up: Running) -> None:
    second = up.soundings.run("up", "--engine", "tiny", "--port", "0")
    assert second.returncode == 2
    assert "in use by another Soundings process" in second.stderr


@pytest.mark.parametrize("role", ["pipeline", "web"])
def test_a_killed_child_is_started_again_and_serves_on_the_same_address(
    up: Running, posts_file: Path, role: str
) -> None:
    before = up.children()
    address = up.address
    os.kill(before[role], signal.SIGKILL)
    up.soundings.wait_for(lambda: up.children().get(role, before[role]) != before[role], "the new child")
    assert up.soundings.replay(posts_file)["read"] == 300

    def page_is_back() -> bool:
        try:
            return "<html" in up.text("/")
        except (OSError, urllib.error.URLError):
            return False

    up.soundings.wait_for(page_is_back, "the page")
    assert up.address == address
    kept = "web" if role == "pipeline" else "pipeline"
    assert up.children()[kept] == before[kept]


def test_killed_itself_it_leaves_no_orphans_and_starts_again(up: Running) -> None:
    up.kill()
    again = start(up.soundings)
    again.wait_until_served()
    again.process.terminate()
    assert again.process.wait(PATIENCE_SECONDS) == 0


def test_a_replay_asked_for_at_the_start_goes_on_when_the_pipeline_is_killed(
    soundings: Soundings, tmp_path: Path
) -> None:
    file = write_posts(tmp_path / "posts.jsonl", make_posts(3000))
    running = start(soundings, "--replay", str(file))
    running.wait_until_served()
    soundings.wait_for(lambda: "pipeline" in running.children(), "the pipeline")
    os.kill(running.children()["pipeline"], signal.SIGKILL)
    soundings.wait_for(lambda: "Dead letters: none" in running.output.read_text(), "the end of the replay")
    told = running.output.read_text()
    assert re.search(r"read +3,000", told)
    running.process.terminate()
    assert running.process.wait(PATIENCE_SECONDS) == 0


def test_ctrl_c_stops_it(up: Running) -> None:
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_people_wrote_gets_into_no_log(soundings: Soundings, tmp_path: Path, form: str) -> None:
    """Posts, bad rows and their authors, read, parked, searched and asked for; with a child killed meanwhile."""
    canary = "canaryword"
    rows: list[object] = [{"id": f"p{n}", "author": canary, "text": f"@acme {canary} {n}"} for n in range(200)]
    rows += [{"id": f"q{n}", "created_at": f"{canary} o'clock", "text": canary} for n in range(20)]
    rows += [{"id": canary, "text": [canary]}, canary]
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + f"{{{canary}\n", encoding="utf-8")
    soundings.config.write_text(soundings.config.read_text() + f'\n[logging]\nformat = "{form}"\n')
    running = start(soundings)
    running.wait_until_served()
    done = soundings.run("replay", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parked"] >= 20
    soundings.wait_for(lambda: canary in running.text(f"/?q={canary}"), "the page")
    os.kill(running.children()["web"], signal.SIGKILL)
    soundings.wait_for(lambda: "starting it again" in running.output.read_text(), "the log")
    running.process.terminate()
    assert running.process.wait(PATIENCE_SECONDS) == 0
    told = running.output.read_text()
    assert canary not in told
    if form == "json":
        logged = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        assert any("starting it again" in line["message"] for line in logged)
        assert all({"at", "level", "role", "message"} <= line.keys() for line in logged)


def test_health_and_metrics_have_a_port_of_their_own(up: Running) -> None:
    found = re.search(r"Health and metrics: (http://\S+)/metrics", up.output.read_text())
    assert found
    with urllib.request.urlopen(f"{found.group(1)}/metrics", timeout=PATIENCE_SECONDS) as answer:
        assert b'soundings_service_info{log="embedded",role="pipeline",store="embedded"' in answer.read()
    for address in (f"{up.address}/metrics", f"{up.address}/readyz", f"{found.group(1)}/api/mentions"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_another_address_without_authentication_is_refused_in_one_line(soundings: Soundings, host: str) -> None:
    done = soundings.run("up", "--engine", "tiny", "--port", "0", "--host", host)
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert f"web.host: found '{host}', expected a loopback address" in told
    assert not soundings.data.exists()


def test_after_a_kill_of_the_supervisor_the_same_command_works_at_once(soundings: Soundings) -> None:
    """Its children end by themselves; they hold the folder and the ports for a moment."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        soundings.extra["SOUNDINGS_HEALTH_PORT"] = str(taken.getsockname()[1])
    first = start(soundings)
    first.wait_until_served()
    first.process.kill()
    first.process.wait()
    again = start(soundings)
    again.wait_until_served()
    again.process.terminate()
    assert again.process.wait(PATIENCE_SECONDS) == 0
