"""Two client processes at once; nothing is pinned, for whoever is measured."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from bench.map_rows.run import OURS, Run, keys_in_disorder, open_and_check
from bench.measure import Row, pin_threads
from bench.peers.base import Endpoint
from bench.peers.grid import GridServer

CLIENTS = 2
KEYS = 1000
TARGET = 1.3
READY = "ready"
ANSWER_DEADLINE_S = 120.0
STOP_DEADLINE_S = 10.0


def serve(endpoint: Endpoint, cores: list[int], pipe: Connection) -> None:
    """Be one client: do as many pairs of get and put as told, say from when to when.

    Runs in: a process of its own, until it is told 0.
    """
    os.sched_setaffinity(0, cores)
    calls = open_and_check(endpoint)
    value = calls.value_of(bytes(100))
    keys = keys_in_disorder(KEYS, KEYS)
    for key in keys:
        calls.put(key, value)
    pipe.send(READY)
    while pairs := pipe.recv():
        start_ns = time.monotonic_ns()
        for key in itertools.islice(itertools.cycle(keys), pairs):
            calls.get(key)
            calls.put(key, value)
        pipe.send((start_ns, time.monotonic_ns()))
    calls.close()


@contextlib.contextmanager
def _client(run: Run, endpoint: Endpoint) -> Iterator[Connection]:
    """Start a client process; it says when it is ready."""
    context = multiprocessing.get_context("spawn")
    pipe, remote = context.Pipe()
    process: BaseProcess = context.Process(
        target=serve, args=(endpoint, run.cores, remote), daemon=True
    )
    process.start()
    remote.close()
    try:
        yield pipe
        pipe.send(0)
        process.join(STOP_DEADLINE_S)
    finally:
        process.kill()
        process.join()
        pipe.close()


def _answer(pipe: Connection) -> Any:
    """Return what the client says.

    Raises: EOFError when it has ended; TimeoutError.
    """
    if not pipe.poll(ANSWER_DEADLINE_S):
        raise TimeoutError("a client process does not answer")
    return pipe.recv()


def _rate(pipes: list[Connection], pairs: int) -> Callable[[], float]:
    """Return a measure: all operations of all clients over the time from first to last."""

    def measure() -> float:
        for pipe in pipes:
            pipe.send(pairs)
        spans: list[tuple[int, int]] = [_answer(pipe) for pipe in pipes]
        span_ns = max(end for _, end in spans) - min(start for start, _ in spans)
        return 2 * pairs * len(pipes) / span_ns * 1e9

    return measure


def process_rows(run: Run) -> list[Row]:
    """All operations of two processes together, by TCP.

    Every server as it comes: Redis with its one thread, Memcached with its four, a grid node with
    one storage process for each core.
    """
    run.say(f"starting {CLIENTS} client processes for each")
    with contextlib.ExitStack() as stack:
        servers = dict(run.servers)
        servers[OURS] = stack.enter_context(run.started(GridServer(storage_processes=0)))
        for server in servers.values():
            for pid in server.pids:
                pin_threads(pid, run.cores)
                stack.callback(pin_threads, pid, {run.cores[-1]})
        run.unpin_client()
        measures: dict[str, Callable[[], float]] = {}
        all_pipes: list[Connection] = []
        for name, server in servers.items():
            pipes = [stack.enter_context(_client(run, server.tcp)) for _ in range(CLIENTS)]
            measures[name] = _rate(pipes, run.size.calls)
            all_pipes += pipes
        for pipe in all_pipes:
            assert _answer(pipe) == READY
        title = f"{CLIENTS} client processes, get and put 100 B in turn, tcp, nothing pinned"
        return [run.compare(title, measures, unit="ops/s", target=TARGET)]
