"""One small real cluster for all client tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import grid
from grid.api import LocalCluster, local_cluster
from grid.client.session import Grid
from tests.client.gate import Gate


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[LocalCluster]:
    """Two nodes of two storage processes and one worker each."""
    with local_cluster(2, workers=1, storage_processes=2) as cluster:
        yield cluster


@pytest.fixture
def client(running_cluster: LocalCluster) -> Iterator[Grid]:
    """A client of its own for each test."""
    with running_cluster.client() as connected:
        yield connected


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A closed gate for tasks; it opens after the test at the latest."""
    closed = Gate(tmp_path)
    yield closed
    closed.open()


@pytest.fixture
def users(client: Grid, request: pytest.FixtureRequest) -> grid.Map[object, object]:
    """A map that no other test uses."""
    return client.map(request.node.nodeid[-200:])
