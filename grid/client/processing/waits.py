"""Calls that wait for tasks, written once for both kinds of client.

Such a call is a generator: it yields what it waits for, is sent whether that came in time, and
returns its result. Threads run it by `run`, event loops by `run_async`.

Not here: operations on storage processes (``requests/steps.py``), which are run by the shells.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Generator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until one of these is done, or `all` of them, but no longer than so."""

    futures: Collection[Future[Any]]
    timeout_s: float
    all: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it has come."""
        done = [future.done() for future in self.futures]
        return all(done) if self.all else any(done)


Waits: TypeAlias = Generator[Until, bool, T]


def run(call: Waits[T]) -> T:
    """Run a call in this thread. If that is interrupted, the call is closed."""
    try:
        until = next(call)
        while True:
            how = ALL_COMPLETED if until.all else FIRST_COMPLETED
            wait(until.futures, max(0.0, until.timeout_s), how)
            until = call.send(until.is_over)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # by the type of Waits
    finally:
        call.close()


async def run_async(call: Waits[T]) -> T:
    """Run a call on this event loop. If the caller is cancelled, the call is closed."""
    try:
        until = next(call)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until.timeout_s)):
                    await _come(until)
            until = call.send(until.is_over)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # by the type of Waits
    finally:
        call.close()


async def _come(until: Until) -> None:
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has been closed meanwhile.
            loop.call_soon_threadsafe(changed.set)

    for future in until.futures:
        future.add_done_callback(tell)
    while not until.is_over:
        changed.clear()
        await changed.wait()
