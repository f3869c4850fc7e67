"""Fifty concurrent asyncio callers in one process, all on uvloop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import uvloop

from bench.map_rows.run import Run, key_of, keys_in_disorder
from bench.measure import Row
from bench.peers.base import AsyncCalls

CALLERS = 50
KEYS = 1000
TARGET = 3.0


def caller_rows(run: Run) -> list[Row]:
    """Get and put of 100 B by TCP, as operations a second of all callers together."""
    run.pin_client()
    loop = uvloop.new_event_loop()
    clients: dict[str, AsyncCalls] = {}
    try:
        for name, server in run.servers.items():
            calls = loop.run_until_complete(server.tcp.open_async())
            if calls is not None:
                clients[name] = calls
                loop.run_until_complete(_fill(calls))
        run.pin_client()
        each = max(1, run.size.calls // 10)
        return [
            run.compare(
                f"{CALLERS} asyncio callers, {verb} 100 B, tcp",
                {name: _rate(loop, calls, verb, each) for name, calls in clients.items()},
                unit="ops/s",
                target=TARGET,
            )
            for verb in ("get", "put")
        ]
    finally:
        for calls in clients.values():
            loop.run_until_complete(calls.close())
        loop.close()


async def _fill(calls: AsyncCalls) -> None:
    for number in range(KEYS):
        await calls.put(key_of(number), calls.value_of(bytes(100)))
    assert await calls.get(key_of(0)) == bytes(100), "another value came back"


def _rate(
    loop: asyncio.AbstractEventLoop, calls: AsyncCalls, verb: str, each: int
) -> Callable[[], float]:
    """Return a measure in which every caller makes `each` calls, one after the other."""
    keys = keys_in_disorder(each * CALLERS, KEYS)
    shares = [keys[number::CALLERS] for number in range(CALLERS)]
    value = calls.value_of(bytes(100))

    async def caller(share: list[str]) -> None:
        call: Callable[[str], Awaitable[object]] = (
            calls.get if verb == "get" else lambda key: calls.put(key, value)
        )
        for key in share:
            await call(key)

    async def all_callers() -> None:
        await asyncio.gather(*map(caller, shares))

    def measure() -> float:
        start_ns = time.perf_counter_ns()
        loop.run_until_complete(all_callers())
        return CALLERS * each / (time.perf_counter_ns() - start_ns) * 1e9

    return measure
