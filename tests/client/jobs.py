"""What tasks of tests call, importable by workers."""

from __future__ import annotations

import os
import signal
from concurrent.futures import as_completed
from pathlib import Path

import grid


def divide(number: int) -> float:
    return 1 / number


def die(path: Path) -> None:
    """Leave a mark and kill the worker."""
    with path.open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def fan_out(depth: int) -> int:
    """Submit two tasks of the next depth and wait for both. Runs in: worker."""
    if depth == 0:
        return 1
    with grid.current().executor() as pool:
        futures = [pool.submit(fan_out, depth - 1) for _ in range(2)]
        return sum(future.result() for future in as_completed(futures))
