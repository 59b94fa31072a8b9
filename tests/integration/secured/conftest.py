"""One Elasticsearch with security on, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.secure_elastic import SecureElasticServer


@pytest.fixture(scope="package")
def server() -> Iterator[SecureElasticServer]:
    secured = SecureElasticServer()
    try:
        secured.start()
        yield secured
    finally:
        secured.close()
