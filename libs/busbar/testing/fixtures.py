"""Pytest fixtures around the bus; `tests/conftest.py` loads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from busbar.testing.nats_server import NatsServer


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One real server for the whole session, site `test`; not to be stopped. Its streams are not provisioned."""
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.stop()


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of the test's own, to be killed and frozen."""
    server = NatsServer(tmp_path).start()
    yield server
    server.thaw()
    server.kill()
