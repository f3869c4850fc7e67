"""Dask: a local cluster of single-threaded worker processes, its client."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, LocalCluster

from bench.executor_peers.base import Peer


class DaskPeer:
    """Scheduler in this process, workers in others. No result is taken from an earlier call."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._stack = contextlib.ExitStack()
        self._client: Any = None

    def start(self, workers: int) -> None:
        """Start cluster and client, all on loopback."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="grid-bench-dask-"))
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            # None alone would ask for the well-known port of its HTTP server, which is one only.
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
        )
        self._stack.callback(cluster.close)
        self._client = Client(cluster)
        self._stack.callback(self._client.close)

    def call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Submit one call and wait."""
        return self._client.submit(function, argument, pure=False).result()

    def burst(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Submit each, then gather."""
        submit = self._client.submit
        return self._gathered([submit(function, argument, pure=False) for argument in arguments])

    def map(
        self, function: Callable[[Any], Any], arguments: Sequence[Any], chunk: int
    ) -> list[Any]:
        """Use the client's map; its batches are of messages, and each call stays one task."""
        return self._gathered(self._client.map(function, arguments, pure=False))

    def stop(self) -> None:
        """Close client and cluster."""
        self._stack.close()

    def _gathered(self, futures: list[Any]) -> list[Any]:
        results: list[Any] = self._client.gather(futures)
        return results


def make() -> Peer:
    """Return Dask, not started."""
    return DaskPeer()
