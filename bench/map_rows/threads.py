"""Threads that share one blocking client: each with a connection while it is busy, or all in turn.

The client gives every busy caller a connection of its own; what that is worth is shown beside
the same client behind one lock, which is what a single connection would need.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from bench.map_rows.run import OURS, Run, key_of, opened, row_of
from bench.measure import Row, interleaved

THREADS = 4
LOCKED = "one lock"


def thread_rows(run: Run) -> list[Row]:
    """Get 100 B from four threads of one client."""
    with opened({OURS: run.servers[OURS].tcp}) as clients:
        get = clients[OURS].get
        lock = threading.Lock()

        def get_in_turn(key: str) -> Any:
            with lock:
                return get(key)

        name = f"{THREADS} threads share a client, get 100 B, tcp"
        run.say(name)
        measures = {
            OURS: lambda: _rate(get, run.size.calls),
            LOCKED: lambda: _rate(get_in_turn, run.size.calls),
        }
        figures = interleaved(measures, run.size.rounds)
        return [row_of(name, figures, rival=LOCKED, unit="ops/s")]


def _rate(get: Callable[[str], Any], calls: int) -> float:
    """Return how many operations a second all threads did together."""
    start = threading.Barrier(THREADS + 1)

    def work() -> None:
        start.wait()
        for _ in range(calls):
            get(key_of(0))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    start_ns = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    return THREADS * calls / ((time.perf_counter_ns() - start_ns) / 1e9)
