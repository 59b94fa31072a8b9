"""What all tests share: real servers, where the real data lies, and a fixed profile for property tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.hugging_face import TORCH_IS_HERE
from hypothesis import HealthCheck, settings
from servers.elastic import ElasticServer
from servers.kafka import KafkaServer

# Property tests draw the same examples every time: a red run can be repeated, a green one is no luck of the draw.
# No deadline: time is measured in bench/, never asserted here.
settings.register_profile(
    "soundings", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("soundings")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


# kafka-python leaves connections that it gave up to the garbage collector, on a busy machine open ones too.
LEFT_BY_KAFKA_PYTHON = "ignore:unclosed <socket.socket fd=\\d+, family=2, type=1, proto=6:ResourceWarning"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this environment is not for: it is run by `make test` or by `make test-torch`, never by both.

    Tests that run kafka-python are spared what it leaves behind.
    """
    for item in items:
        if "kafka-python" in item.nodeid:
            item.add_marker(pytest.mark.filterwarnings(LEFT_BY_KAFKA_PYTHON))
    other = "without_torch" if TORCH_IS_HERE else "torch"
    left = [item for item in items if item.get_closest_marker(other)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout (see its README for what each file may be used for)."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return SHARED_DATA


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """A real broker, one for the whole run; a test that stops or pauses it makes it run again."""
    server = KafkaServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def elastic_server() -> Iterator[ElasticServer]:
    """A real Elasticsearch, one for the whole run; a test that stops or pauses it makes it run again."""
    server = ElasticServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def prefix() -> str:
    """A beginning of names (topics, groups, indices) that no other test has; lower case, as Elasticsearch wants."""
    return f"t{os.getpid()}-{next(_NUMBERS)}-"
