"""grid itself, as the peers are seen: one node on loopback, its client, its executor."""

from __future__ import annotations

import contextlib

from bench.executor_peers.base import FuturesPeer
from grid.api import local
from grid.client.tasks.executor import GridExecutor


class GridPeer(FuturesPeer):
    """A local cluster of one node."""

    def __init__(self) -> None:
        """Start nothing yet."""
        super().__init__(self._executor_of)
        self._stack = contextlib.ExitStack()

    def stop(self) -> None:
        """End the node."""
        super().stop()
        self._stack.close()

    def _executor_of(self, workers: int) -> GridExecutor:
        # Everything else is as a user has it who sets nothing.
        return self._stack.enter_context(local(workers=workers)).executor()


def make() -> GridPeer:
    """Return grid, not started."""
    return GridPeer()
