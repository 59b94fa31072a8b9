"""A real Elasticsearch as docker-compose.yml starts it: its security and TLS settings, the user `elastic` alone.

The certificate is one of deploy/certificates.sh. Roles and users are stored through the security API, for which the
smallest distribution lacks a bit of analysis: `security-index/` adds it, and changes nothing of security.
"""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import urllib.request
import zipfile
from pathlib import Path

import yaml

from servers.artifacts import HERE, ROOT, compiler_jars, elastic_home
from servers.elastic import ElasticSecurity, ElasticServer, give
from servers.process import ServerFailed, ServerProcess

PASSWORD = "a superuser of tests"
# It holds a few roles and a few hundred documents, and runs beside the other server.
HEAP = "512m"
# What names the node, or is about its container and not about who may do what.
_LEFT_OUT = ("node.name", "cluster.name", "discovery.type", "bootstrap.memory_lock", "xpack.security.enabled")


def compose_settings() -> dict[str, str]:
    """Give what docker-compose.yml sets in elasticsearch.yml, but for names and memory."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    environment = compose["services"]["elasticsearch"]["environment"]
    return {name: str(value) for name, value in environment.items() if name.islower() and name not in _LEFT_OUT}


class SecureElasticServer(ElasticServer):
    """`url` is https, `authority` the file of the CA that signed its certificate; `elastic` has `PASSWORD`."""

    def __init__(self) -> None:
        """Prepare the server with a certificate and a password of its own."""
        super().__init__(heap=HEAP, security=ElasticSecurity())
        self.url = self.url.replace("http://", "https://")
        config = self.folder / "config"
        certificates = config / "certificates"
        certificates.mkdir()
        self._run(["sh", str(ROOT / "deploy" / "certificates.sh"), str(certificates)])
        self.authority = certificates / "ca.crt"
        with (config / "elasticsearch.yml").open("a") as settings:
            settings.writelines(f'{name}: "{value}"\n' for name, value in compose_settings().items())
        home = self.folder / "secure-home"
        shutil.copytree(elastic_home(), home, symlinks=True)
        self._add_plugin(home)
        # As the container's start does with ELASTIC_PASSWORD.
        keystore = str(home / "bin" / "elasticsearch-keystore")
        self._run([keystore, "create"])
        self._run([keystore, "add", "--stdin", "bootstrap.password"], PASSWORD)
        self.process.command = [str(home / "bin" / "elasticsearch")]
        if self._user:
            give(self.folder, self._user)

    def _add_plugin(self, home: Path) -> None:
        plugin, classes = home / "plugins" / "security-index", self.folder / "classes"
        plugin.mkdir(parents=True)
        libraries = ":".join(str(jar) for jar in (home / "lib").glob("*.jar"))
        java = str(self._java / "bin" / "java")
        compiler = [java, "-cp", f"{compiler_jars()}/*", "org.eclipse.jdt.internal.compiler.batch.Main", "-nowarn"]
        source = str(HERE / "security-index" / "SecurityIndex.java")
        self._run([*compiler, "-source", "21", "-target", "21", "-cp", libraries, "-d", str(classes), source])
        with zipfile.ZipFile(plugin / "security-index.jar", "w") as jar:
            for path in classes.rglob("*.class"):
                jar.write(path, path.relative_to(classes))
        shutil.copy(HERE / "security-index" / "plugin-descriptor.properties", plugin)

    def _run(self, command: list[str], given: str = "") -> None:
        done = subprocess.run(
            command,
            input=given,
            env={**os.environ, **self.process.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"{Path(command[0]).name} failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")

    def _is_ready(self, process: ServerProcess) -> bool:
        # Listening is not enough: for a second or two after that it does not know its own superuser.
        request = urllib.request.Request(f"{self.url}/_cluster/health")
        token = base64.b64encode(f"elastic:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        trusting = ssl.create_default_context(cafile=self.authority)
        try:
            with urllib.request.urlopen(request, timeout=2.0, context=trusting) as answer:
                return answer.status == 200
        except OSError:
            return False
