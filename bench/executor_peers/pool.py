"""The standard library's process pool."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from bench.executor_peers.base import FuturesPeer


def make() -> FuturesPeer:
    """Return the pool, not started."""
    return FuturesPeer(ProcessPoolExecutor)
