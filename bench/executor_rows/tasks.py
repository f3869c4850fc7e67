"""What the workers run. Imported there by name, so that every pool sends the same."""

from __future__ import annotations

import os
import time
from typing import Any

LOOPS_TRIED = 200_000
TRIES = 5


def same(value: Any) -> Any:
    """Do nothing."""
    return value


def spin(loops: int) -> float:
    """Keep a core busy; return the CPU seconds that took."""
    start_s = time.thread_time()
    total = 0
    for number in range(loops):
        total += number & 7
    return time.thread_time() - start_s


def loops_per_second() -> float:
    """Return how fast `spin` is here, when nothing disturbs it."""
    return LOOPS_TRIED / min(spin(LOOPS_TRIED) for _ in range(TRIES))


def sign(path: str, number: int, pause_s: float) -> int:
    """Leave a line in a file, so that every run is counted, and take a while."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, b"%d\n" % number)
    finally:
        os.close(descriptor)
    time.sleep(pause_s)
    return number
