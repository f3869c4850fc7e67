"""What a backup costs: writers with and without one, and a write that waits for it.

Two clusters of two nodes on this machine, one with backups and one without, and Redis with one
replica; all measured in turn, round by round. The rows:

- one writer, and batches of 1,000: throughput with asynchronous backups against none;
- `put(ack="backup")` against redis-py's SET followed by WAIT 1.

    python -m bench.replication [--rounds 7] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis

from bench.cluster import connected, nodes_of, wait_until_safe
from bench.measure import Row, interleaved, median_ratio, publish
from bench.peers.base import Program, free_port
from grid.client.map import Map
from grid.client.session import Grid

CALLS = 2_000
BATCHES = 60
BATCH_ENTRIES = 1_000
VALUE = bytes(100)
SINGLE_TARGET, BATCH_TARGET, SYNC_TARGET = 0.9, 0.7, 1.0
REPLICA_DEADLINE_S = 30.0


class RedisPair:
    """A redis-server and its replica, both without persistence."""

    def __init__(self) -> None:
        """Choose the ports."""
        self._programs = [Program("redis"), Program("redis-replica")]
        self._ports = [free_port(), free_port()]

    def __enter__(self) -> redis.Redis:
        """Start both; return a client of the first when the replica follows it."""
        for program, port in zip(self._programs, self._ports, strict=True):
            command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port)]
            command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
            if port != self._ports[0]:
                command += ["--replicaof", "127.0.0.1", str(self._ports[0])]
            program.run(command, ("127.0.0.1", port))
        client = redis.Redis(host="127.0.0.1", port=self._ports[0])
        deadline_s = time.monotonic() + REPLICA_DEADLINE_S
        while not client.wait(1, 100):
            client.set("warm", b"up")
            if time.monotonic() > deadline_s:
                raise TimeoutError("the replica does not follow")
        return client

    def __exit__(self, *exception: object) -> None:
        """End both."""
        for program in self._programs:
            program.stop()


def per_second(call: Callable[[int], object], calls: int) -> float:
    """Return how often a second `call` can be done."""
    started_s = time.perf_counter()
    for number in range(calls):
        call(number)
    return calls / (time.perf_counter() - started_s)


def singles_per_second(mapped: Map[str, bytes]) -> float:
    """Return how many entries a second one writer puts one by one."""
    return per_second(lambda number: mapped.put(f"key-{number}", VALUE), CALLS)


def batched_per_second(mapped: Map[str, bytes]) -> float:
    """Return how many entries a second one writer puts in batches."""
    batch = {f"batch-{number}": VALUE for number in range(BATCH_ENTRIES)}
    return BATCH_ENTRIES * per_second(lambda _: mapped.put_all(batch), BATCHES)


def measures_of(plain: Grid, backed: Grid, server: redis.Redis) -> dict[str, Callable[[], float]]:
    """Return what is measured in turn."""
    measures: dict[str, Callable[[], float]] = {}
    for name, client in (("plain", plain), ("backed", backed)):
        mapped = client.map("bench")
        measures[f"{name} single"] = partial(singles_per_second, mapped)
        measures[f"{name} batch"] = partial(batched_per_second, mapped)
    synced = backed.map("sync")

    def set_and_wait(number: int) -> None:
        server.set(f"key-{number}", VALUE)
        if server.wait(1, 1000) < 1:
            raise RuntimeError("the replica has not got it")

    measures["sync"] = lambda: per_second(
        lambda n: synced.put(f"key-{n}", VALUE, ack="backup"), CALLS
    )
    measures["set and wait"] = lambda: per_second(set_and_wait, CALLS)
    return measures


def rows_of(seen: dict[str, list[float]]) -> list[Row]:
    """Return the table."""
    middle = {name: statistics.median(values) for name, values in seen.items()}

    def row(name: str, ours: str, theirs: str, peer: str, target: float) -> Row:
        ratio = median_ratio(seen[ours], seen[theirs])
        return Row(name, middle[ours], "/s", {peer: middle[theirs]}, {peer: ratio}, target)

    return [
        row(
            "one writer, asynchronous", "backed single", "plain single", "no backup", SINGLE_TARGET
        ),
        row("batches of 1,000", "backed batch", "plain batch", "no backup", BATCH_TARGET),
        row('put(ack="backup")', "sync", "set and wait", "redis SET + WAIT 1", SYNC_TARGET),
    ]


def main() -> int:
    """Run the rounds and print; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        clients = []
        for backup_count in (0, 1):
            nodes = stack.enter_context(nodes_of(2, storage_processes=1, backup_count=backup_count))
            client = stack.enter_context(connected(nodes))
            wait_until_safe(client, 2)
            clients.append(client)
        server = stack.enter_context(RedisPair())
        seen = interleaved(measures_of(clients[0], clients[1], server), options.rounds)
    rows = rows_of(seen)
    publish("what a backup costs (above 1: grid, or the backup, is quicker)", rows, options.json)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
