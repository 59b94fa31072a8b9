"""`python -m servers`: both servers in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading

from servers.elastic import ElasticServer
from servers.kafka import KafkaServer
from servers.process import ServerFailed


def main() -> int:
    """Start both, print their addresses, wait to be stopped, stop them and remove their data."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    servers: list[KafkaServer | ElasticServer] = []
    try:
        for kind in (KafkaServer, ElasticServer):
            servers.append(kind())
            servers[-1].start()
            if stop.is_set():
                return 0
        kafka, elastic = servers
        assert isinstance(kafka, KafkaServer)
        assert isinstance(elastic, ElasticServer)
        print(f"Kafka          {kafka.address}     log {kafka.process.log_path}")
        print(f"Elasticsearch  {elastic.url}     log {elastic.process.log_path}")
        print("For `soundings` in another terminal:")
        print("  export SOUNDINGS_LOG_KIND=kafka SOUNDINGS_STORE_KIND=elastic SOUNDINGS_ELASTIC_REPLICAS=0")
        print(f"  export SOUNDINGS_KAFKA_BOOTSTRAP_SERVERS={kafka.address} SOUNDINGS_ELASTIC_HOSTS={elastic.url}")
        print("Ctrl-C stops both and removes what they stored.", flush=True)
        stop.wait()
    except ServerFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    finally:
        for server in servers:
            server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
