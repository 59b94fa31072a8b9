"""How the cluster's Kafka is reached, and how the topics are laid out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from domain.errors import ConfigError

# A dead letter keeps up to 16 MiB of its record whole (`stream.dead_letters`), and is described in some KiB beside it.
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
MAX_RECORD_BYTES = MAX_PAYLOAD_BYTES + 64 * 1024

# A name, an IPv4 address or an IPv6 one in brackets; no scheme, no path.
_ADDRESS = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\]):(?P<port>[0-9]{1,5})", re.ASCII)
_MOST_PORT = 65_535

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Where the brokers are and how a client introduces itself; what `prepare` gives to new topics.

    `bootstrap_servers` is a list `host:port,host:port`. `prefix` begins every topic and group. `partitions` is how
    many workers of a stage can share the work; `source_partitions` how many can share the sources. Changing either
    of an existing topic breaks the order of its keys. `replication` 0 is the broker's default. `ca_file` is a PEM
    file of authorities, by default the system's; `certificate_file` and `key_file` identify this client by TLS.

    `session_seconds`: a member that was not heard of for so long is replaced. `max_poll_seconds`: so is one that
    does not poll; longer than the ten minutes that a stage retries. Reading pauses while a stage is `max_lag` records
    behind: what waits for longer than the topics keep it would be lost.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    prefix: str = "soundings-"
    client_id: str = "soundings"
    partitions: int = 6
    source_partitions: int = 8
    replication: int = 0
    retention_hours: float = 24.0
    events_retention_hours: float = 24.0 * 7
    dead_retention_hours: float = 24.0 * 30
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    session_seconds: float = 15.0
    max_poll_seconds: float = 660.0
    request_seconds: float = 10.0
    max_lag: int = 50_000

    @property
    def where(self) -> str:
        """Name the brokers for people."""
        return f"Kafka at {self.bootstrap_servers}"


def kafka_problems(settings: KafkaSettings) -> list[str]:
    """Tell what is wrong with the settings, one line each; opens nothing."""
    problems = []
    for server in settings.bootstrap_servers.split(","):
        address = _ADDRESS.fullmatch(server.strip())
        if address is None or not 0 < int(address["port"]) <= _MOST_PORT:
            found = repr(server.strip()) if server.strip() else "nothing"
            problems.append(
                f"kafka.bootstrap_servers: found {found}, expected host:port such as kafka-1:9092, several by commas"
            )
    for name in ("partitions", "source_partitions", "max_lag"):
        if getattr(settings, name) < 1:
            problems.append(f"kafka.{name}: found {getattr(settings, name)}, expected 1 or more")
    hours = ("retention_hours", "events_retention_hours", "dead_retention_hours")
    for name in (*hours, "session_seconds", "max_poll_seconds", "request_seconds"):
        if not getattr(settings, name) > 0:
            problems.append(f"kafka.{name}: found {getattr(settings, name)}, expected more than 0")
    if settings.security_protocol.startswith("SASL") and not (settings.sasl_username and settings.sasl_password):
        problems.append(f"kafka.sasl_username, sasl_password: {settings.security_protocol} needs both")
    if bool(settings.certificate_file) != bool(settings.key_file):
        problems.append("kafka.certificate_file, key_file: one needs the other")
    return problems


def check(settings: KafkaSettings) -> None:
    """Refuse settings that cannot work.

    Raises:
        ConfigError: listing all problems.
    """
    if problems := kafka_problems(settings):
        raise ConfigError(problems)
