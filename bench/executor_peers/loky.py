"""loky, the process pool of joblib."""

from __future__ import annotations

from concurrent.futures import Executor

import loky

from bench.executor_peers.base import FuturesPeer

IDLE_S = 3600
"""Its workers end after ten idle seconds by default: the others' turns take longer."""


def reusable(workers: int) -> Executor:
    """Return its executor."""
    executor: Executor = loky.get_reusable_executor(max_workers=workers, timeout=IDLE_S)
    return executor


def make() -> FuturesPeer:
    """Return loky, not started."""
    return FuturesPeer(reusable)
