"""Ray: one node of this program's own.

Run in a network namespace that has loopback only, for Ray's helpers may listen on every address.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import ray

from bench.executor_peers.base import Peer

OBJECT_STORE_BYTES = 512 << 20
"""More than all rows have in flight; the default is a share of the machine's memory."""

# It reports its use to its makers otherwise, and writes a token into the home folder, which
# protects nothing where nobody else is.
os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"})


class RayPeer:
    """A head node without a dashboard, as many CPUs as workers."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._stack = contextlib.ExitStack()
        self._remotes: dict[Callable[[Any], Any], Any] = {}

    def start(self, workers: int) -> None:
        """Start the node."""
        # A short name: the paths of its sockets go below it.
        folder = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="gb-ray-", ignore_cleanup_errors=True)
        )
        self._stack.callback(ray.shutdown)
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )

    def call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Run one call and get its result."""
        return ray.get(self._remote(function).remote(argument))

    def burst(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Start each, then get all."""
        remote = self._remote(function).remote
        results: list[Any] = ray.get([remote(argument) for argument in arguments])
        return results

    def map(
        self, function: Callable[[Any], Any], arguments: Sequence[Any], chunk: int
    ) -> list[Any]:
        """Do the same: it has no map of functions."""
        return self.burst(function, arguments)

    def stop(self) -> None:
        """End the node."""
        self._stack.close()

    def _remote(self, function: Callable[[Any], Any]) -> Any:
        if function not in self._remotes:
            self._remotes[function] = ray.remote(function)
        return self._remotes[function]


def make() -> Peer:
    """Return Ray, not started."""
    return RayPeer()
