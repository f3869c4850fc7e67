"""What tasks of tests call, importable by workers."""

from __future__ import annotations

import os
import signal
from concurrent.futures import as_completed
from pathlib import Path

import grid
from grid.client.requests.blocking import BlockingShell
from grid.client.requests.steps import Ask, Lost
from grid.storage.messages import InNameOf, Reply


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


def add_and_die(number: int, path: Path) -> int:
    """Add 1; the first time have the worker die when that is stored, before anybody is told."""
    if not path.exists():
        path.touch()
        ask_before = BlockingShell._ask

        def ask_and_die(shell: BlockingShell, ask: Ask) -> Reply | Lost:
            reply = ask_before(shell, ask)
            if isinstance(ask.request, InNameOf):
                os.kill(os.getpid(), signal.SIGKILL)
            return reply

        BlockingShell._ask = ask_and_die  # type: ignore[assignment,method-assign]  # It dies.
    return number + 1


def apply_inside(map_name: str) -> int:
    """Runs in: worker, and waits for another."""
    number: int = grid.current().map(map_name).apply("k", lambda n: n + 1, default=0)
    return number
