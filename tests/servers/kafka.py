"""A real Kafka broker on 127.0.0.1: one node, its own controller, topics created only when asked for."""

from __future__ import annotations

import base64
import secrets
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from servers.artifacts import kafka_jars
from servers.certificates import Certificates
from servers.java import java_home
from servers.process import ServerFailed, ServerProcess, free_port, new_folder, remove

HEAP = "512m"
JAVA = 17
# Who may come in through `sasl_address` (mechanism PLAIN) and `scram_address`; `address` asks nobody.
SASL_USER = "soundings"
SASL_PASSWORD = "only-for-tests"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={listeners},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,\
  CONTROLLER:PLAINTEXT
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{user}="{password}";
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
# The books stand beside the offsets.
offsets.retention.minutes=525600
# A broker looks for what is too old every five minutes by default, and half a minute after its start.
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A broker that was killed comes back only when the controller has forgotten it: 9 s by default.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4000
# Workers of tests are killed, and the tests wait for their partitions.
group.min.session.timeout.ms=1000
# Topics of tests come and go in small numbers: the cleaner's default of 128 MB is a quarter of our heap.
log.cleaner.dedupe.buffer.size=16777216
"""


class KafkaServer:
    """One broker with its data in a folder of its own.

    `address` is `host:port`, the same after each restart; `sasl_address` asks for a user and password, `scram_address`
    does so by SCRAM over TLS, `tls_address` asks for a certificate that `certificates.authority` signed.
    """

    def __init__(self, *, heap: str = HEAP) -> None:
        """Prepare a broker; `start` starts it."""
        self.folder = new_folder("kafka")
        self.certificates = Certificates(self.folder / "certificates")
        self.port = free_port()
        self.address, self.sasl_address, self.scram_address, self.tls_address = addresses = [
            f"127.0.0.1:{port}" for port in (self.port, free_port(), free_port(), free_port())
        ]
        protocols = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")
        self._properties = self.folder / "server.properties"
        self._properties.write_text(
            _PROPERTIES.format(
                listeners=",".join(f"{name}://{address}" for name, address in zip(protocols, addresses, strict=True)),
                keystore=self.certificates.server_keystore,
                truststore=self.certificates.authority,
                controller_port=free_port(),
                data=self.folder / "data",
                user=SASL_USER,
                password=SASL_PASSWORD,
            )
        )
        self._java = str(java_home(JAVA) / "bin" / "java")
        self._classes = f"{kafka_jars()}/*"
        command = [
            self._java,
            f"-Xmx{heap}",
            "-Xms128m",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            self._classes,
            "kafka.Kafka",
            str(self._properties),
        ]
        self.process = ServerProcess("kafka", self.folder, command, self._is_ready)

    def start(self) -> None:
        """Start the broker and wait until it answers.

        Raises:
            ServerFailed: with the end of its log.
        """
        if not (self.folder / "data").exists():
            self._format()
        self.process.start()

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        # An id that begins with a dash would be read as an option.
        cluster = cluster.replace("-", "A", 1) if cluster.startswith("-") else cluster
        tool = [self._java, "-Xmx128m", "-cp", self._classes, "kafka.tools.StorageTool"]
        command = [*tool, "format", "-t", cluster, "-c", str(self._properties)]
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            command += ["--add-scram", f"{mechanism}=[name={SASL_USER},password={SASL_PASSWORD}]"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"the broker's folder could not be formatted:\n{done.stdout}{done.stderr}")

    def _is_ready(self, process: ServerProcess) -> bool:
        if "Kafka Server started" not in _text(process.log_path):
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
            return True
        return False

    def close(self) -> None:
        """Stop the broker and remove its data."""
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


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
