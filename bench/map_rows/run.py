"""What all rows share: the running servers, the cores, keys and values, the comparison."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.measure import Row, interleaved, median_ratio, pin_threads
from bench.peers.base import Calls, Endpoint, Server

S = TypeVar("S", bound=Server)

OURS = "grid"
RIVAL = "redis"
"""The peer that the targets are for."""
HAZELCAST = "hazelcast"

VALUE_SIZES = {"100 B": 100, "10 KB": 10_240}
WARM_UP_ROUNDS = 5
"""Measures of a single client before the first round: a JVM compiles what it has seen often."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    calls: int
    """Of one kind in one round by one client."""
    batches: int
    """Calls with many entries in one round."""
    large: int
    """Entries of the memory row, and of the larger map of the growth rows."""
    small: int
    """Entries of the smaller one."""


FULL = Size(rounds=7, calls=600, batches=15, large=1_000_000, small=10_000)
QUICK = Size(rounds=3, calls=60, batches=2, large=100_000, small=10_000)


@dataclass(slots=True)
class Run:
    """One run of the benchmark: its size, its cores and the servers that are up."""

    size: Size
    peers: Sequence[str]
    cores: list[int]
    servers: dict[str, Server] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Show progress."""
        seconds = time.monotonic() - self.started_s
        print(f"[{seconds:4.0f} s] {text}", file=sys.stderr, flush=True)

    def pin_client(self) -> None:
        """Put this process on the first core."""
        pin_threads(os.getpid(), {self.cores[0]})

    def unpin_client(self) -> None:
        """Let this process, and what it starts, run anywhere."""
        pin_threads(os.getpid(), self.cores)

    @contextlib.contextmanager
    def started(self, server: S) -> Iterator[S]:
        """Start a server with the whole machine in view, then put it on the last core."""
        self.unpin_client()
        try:
            server.start()
            for pid in server.pids:
                pin_threads(pid, {self.cores[-1]})
            self.pin_client()
            yield server
        finally:
            server.stop()

    def compare(
        self,
        name: str,
        measures: Mapping[str, Callable[[], float]],
        *,
        unit: str = "us",
        target: float | None = None,
    ) -> Row:
        """Measure all in turn and make one row; a rate (``/s``) is better when it is larger."""
        self.say(name)
        return row_of(name, interleaved(measures, self.size.rounds), unit=unit, target=target)


def row_of(
    name: str,
    figures: Mapping[str, Sequence[float]],
    *,
    ours: str = OURS,
    rival: str = RIVAL,
    unit: str = "us",
    target: float | None = None,
) -> Row:
    """Return the row of `ours` against everybody in `figures` who is not grid."""
    is_rate = unit.endswith("/s")
    own = figures[ours]
    peers = {peer: values for peer, values in figures.items() if not peer.startswith(OURS)}
    ratios = {
        peer: median_ratio(own, values) if is_rate else median_ratio(values, own)
        for peer, values in peers.items()
    }
    return Row(
        name,
        statistics.median(own),
        unit,
        {peer: statistics.median(values) for peer, values in peers.items()},
        ratios,
        target,
        target_peer=rival,
        floors={HAZELCAST: 1.0},
    )


def key_of(number: int) -> str:
    """Return a key of 16 characters."""
    return f"key:{number:012d}"


def keys_in_disorder(count: int, population: int) -> list[str]:
    """Return `count` keys of the first `population`, the same ones every time."""
    chosen = random.Random(count)
    return [key_of(chosen.randrange(population)) for _ in range(count)]


def get_each(calls: Calls, keys: Iterable[str]) -> float:
    """Get each key; return the microseconds of one call."""
    get = calls.get
    count = 0
    start_ns = time.perf_counter_ns()
    for key in keys:
        get(key)
        count += 1
    return (time.perf_counter_ns() - start_ns) / count / 1000


def put_each(calls: Calls, keys: Iterable[str], value: Any) -> float:
    """Put one value under each key; return the microseconds of one call."""
    put = calls.put
    count = 0
    start_ns = time.perf_counter_ns()
    for key in keys:
        put(key, value)
        count += 1
    return (time.perf_counter_ns() - start_ns) / count / 1000


def open_and_check(endpoint: Endpoint) -> Calls:
    """Connect, and see that what is put comes back."""
    calls = endpoint.open()
    data = bytes(range(100))
    calls.put(key_of(0), calls.value_of(data))
    assert calls.get(key_of(0)) == data, f"{endpoint}: another value came back"
    return calls


@contextlib.contextmanager
def opened(endpoints: Mapping[str, Endpoint]) -> Iterator[dict[str, Calls]]:
    """Connect to all, by name, for the length of a ``with`` block."""
    with contextlib.ExitStack() as stack:
        clients = {}
        for name, endpoint in endpoints.items():
            clients[name] = open_and_check(endpoint)
            stack.callback(clients[name].close)
        yield clients
