"""The real broker starts with the settings of docker-compose.yml."""

from __future__ import annotations

from pathlib import Path

import yaml
from servers.kafka import KafkaServer
from servers.process import free_port

ROOT = Path(__file__).resolve().parents[2]


def properties_of_compose() -> dict[str, str]:
    """Give the broker's properties as its image makes them of the environment: KAFKA_A_B is a.b."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    environment = compose["services"]["kafka"]["environment"]
    left_out = ("KAFKA_HEAP_OPTS", "CLUSTER_ID")
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in environment.items()
        if name not in left_out
    }


class ComposedKafka(KafkaServer):
    """A broker with the settings of the compose file, on free ports of 127.0.0.1 and in a folder of its own."""

    def __init__(self) -> None:
        super().__init__(heap="512m")
        controller = free_port()
        found = properties_of_compose()
        assert found["log.dirs"] == "/var/lib/kafka/data"
        found["log.dirs"] = str(self.folder / "data")
        text = "".join(f"{name}={value}\n" for name, value in found.items())
        text = text.replace("localhost:9093", f"127.0.0.1:{controller}")
        text = text.replace("PLAINTEXT://:9092", f"PLAINTEXT://127.0.0.1:{self.port}")
        text = text.replace("PLAINTEXT://kafka:9092", f"PLAINTEXT://127.0.0.1:{self.port}")
        (self.folder / "server.properties").write_text(text)


def test_the_broker_starts_with_the_settings_of_the_compose_file() -> None:
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

    server = ComposedKafka()
    try:
        server.start()
        admin = AdminClient({"bootstrap.servers": server.address})
        broker = ConfigResource(ResourceType.BROKER, "1")
        (answer,) = admin.describe_configs([broker]).values()
        said = {name: entry.value for name, entry in answer.result(timeout=30).items()}
    finally:
        server.close()
    asked = properties_of_compose()
    same = set(asked) - {"log.dirs", "listeners", "advertised.listeners", "controller.quorum.voters"}
    assert {name: said[name] for name in same} == {name: asked[name] for name in same}
