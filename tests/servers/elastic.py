"""A real Elasticsearch on 127.0.0.1: one node, with the modules that its smallest distribution has.

It lacks `GET /`, data streams, ILM, ingest pipelines, scripts, update and delete by query and some analyzers.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from servers.artifacts import elastic_home
from servers.java import java_home
from servers.process import ServerFailed, ServerProcess, free_port, new_folder, remove

HEAP = "1g"
JAVA = 21
# Elasticsearch refuses to run as root.
SYSTEM_USER = "soundings-elastic"

_CONFIG = """\
cluster.name: soundings-tests
node.name: one
discovery.type: single-node
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport_port}
path.data: {folder}/data
path.logs: {folder}/logs
xpack.security.enabled: {security}
# A developer's disk is often nearly full, and what tests write is gone after them.
cluster.routing.allocation.disk.threshold_enabled: false
"""


@dataclass(frozen=True)
class ElasticSecurity:
    """Users and roles of a server with security on.

    `users` maps a name to its password and roles; `roles_yml` is the text of `config/roles.yml`. Passwords have
    six characters or more.
    """

    users: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    roles_yml: str = ""


class ElasticServer:
    """One Elasticsearch with its data in a folder of its own. `url` stays the same after each restart."""

    def __init__(self, *, heap: str = HEAP, security: ElasticSecurity | None = None) -> None:
        """Prepare a server; `start` starts it."""
        self.folder = new_folder("elastic")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._user = _system_user() if os.getuid() == 0 else ""
        # Copied where that user can read them when the checkout is closed to others.
        home = _readable(elastic_home(), self.folder / "home")
        self._java = _readable(java_home(JAVA), self.folder / "java")
        config = self.folder / "config"
        shutil.copytree(home / "config", config)
        text = _CONFIG.format(
            port=self.port,
            transport_port=free_port(),
            folder=self.folder,
            security="true" if security else "false",
        )
        (config / "elasticsearch.yml").write_text(text)
        _fit_options(config / "jvm.options", self._java)
        environment = {"ES_JAVA_HOME": str(self._java), "ES_PATH_CONF": str(config)}
        environment["ES_JAVA_OPTS"] = f"-Xms{heap} -Xmx{heap} -XX:-HeapDumpOnOutOfMemoryError -XX:-AlwaysPreTouch"
        (self.folder / "tmp").mkdir()
        environment["ES_TMPDIR"] = str(self.folder / "tmp")
        self.process = ServerProcess(
            "elastic", self.folder, [str(home / "bin" / "elasticsearch")], self._is_ready, environment, self._user
        )
        if security is not None:
            self._secure(home, config, security)
        if self._user:
            give(self.folder, self._user)

    def _secure(self, home: Path, config: Path, security: ElasticSecurity) -> None:
        (config / "roles.yml").write_text(security.roles_yml)
        # The realm of users in files is all that this distribution has.
        for name, (password, roles) in security.users.items():
            command = [str(home / "bin" / "elasticsearch-users"), "useradd", name, "-p", password]
            done = subprocess.run(
                [*command, "-r", ",".join(roles)] if roles else command,
                env={**os.environ, **self.process.environment},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise ServerFailed(f"the user {name} could not be added:\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the server and wait until it answers and its shards can be used.

        Raises:
            ServerFailed: with the end of its log.
        """
        self.process.start()

    def _is_ready(self, process: ServerProcess) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_cluster/health", timeout=2.0) as answer:
                return json.load(answer)["status"] in ("green", "yellow")
        except urllib.error.HTTPError as exc:
            # With security on, asking without a password is answered, once the server is up.
            with exc:
                return exc.code == 401
        except OSError:
            return False

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.process.stop()
        remove(self.folder)

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def restart(self) -> None:
        self.process.restart()


def _system_user() -> str:
    """Give a user without rights, made when the machine does not have it yet."""
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER).pw_name
    command = ["useradd", "--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_name
    except KeyError:
        raise ServerFailed(f"the user {SYSTEM_USER} could not be made: {done.stderr}") from None


def _readable(place: Path, copy: Path) -> Path:
    """Give a folder that everybody can read: the place itself, else a copy of it."""
    if os.getuid() != 0 or all(one.stat().st_mode & 0o001 for one in (place, *place.parents)):
        return place
    return Path(shutil.copytree(place, copy, symlinks=True))


def _fit_options(options: Path, java: Path) -> None:
    """Leave out the module of fast vectors where the Java is a smaller one without it: the server runs without."""
    modules = subprocess.run([java / "bin" / "java", "--list-modules"], capture_output=True, text=True, check=True)
    if "jdk.incubator.vector" not in modules.stdout:
        lines = [line for line in options.read_text().splitlines() if "jdk.incubator.vector" not in line]
        options.write_text("\n".join(lines) + "\n")


def give(folder: Path, user: str) -> None:
    """Make a user the owner of a folder and all that is in it."""
    shutil.chown(folder, user, user)
    for place in folder.rglob("*"):
        shutil.chown(place, user, user)
