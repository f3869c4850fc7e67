"""A cluster for the tests of programs that use one: `cluster` makes a pytest fixture.

Not here: a cluster outside of pytest (`grid.local`). Not imported by ``import grid``: it needs
pytest, which ``grid`` does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from grid.api import local
from grid.client.session import Grid

__all__ = ["cluster"]


def cluster(
    nodes: int = 1,
    *,
    workers: int = 0,
    storage_processes: int = 0,
    scope: Literal["session", "package", "module", "class", "function"] = "session",
) -> Any:
    """Return a pytest fixture whose value is a client of a cluster of its own.

    It is called what you call it::

        # conftest.py
        from grid.testing import cluster

        grid3 = cluster(nodes=3)

    and the tests that take ``grid3`` as an argument get a `grid.Grid`. The cluster starts when
    the first of them runs, which takes a second or two, and ends with the `scope`. Tests that
    share one see each other's maps: use another map in each, or choose a smaller `scope`. Under
    pytest-xdist each of its processes has a cluster of its own.

    Args:
        nodes: whole nodes, processes of this machine, at least 1.
        workers: per node; 0 shares out the cores.
        storage_processes: per node; 0 shares out the cores, at most 4 each.
        scope: pytest's: how long the cluster lives.

    The tests raise: ConnectError when it does not start.
    """

    @pytest.fixture(scope=scope)
    def running_grid() -> Iterator[Grid]:
        with local(nodes, workers=workers, storage_processes=storage_processes) as client:
            yield client

    return running_grid
