"""A node joins: how long until it has its copies, what moves, and what do clients see meanwhile?

One node holds all entries; a second one joins and is filled with a copy of each, while a client
does a fixed number of operations a second. Then a third one joins: the copies that moved are
compared with the least that would have had to.

    python -m bench.rebalance [--entries 1000000] [--rate 5000] [--hosts [--loss 0.02]]
                              [--json FILE]
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import time
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from bench.cluster import Where, connected, hosts_of, nodes_of, open_at, wait_until_safe, where
from bench.measure import machine
from grid.chaos.host_nodes import HostNodes
from grid.chaos.nodes import LocalNodes
from grid.client.session import Grid
from grid.types import PARTITION_COUNT

BATCH = 10_000
VALUE = bytes(100)
MAP = "rebalance"
NODES = 3
SETTLE_S = 3.0
FILL_TARGET = 500_000
P99_TARGET_MS = 10.0
MOVES_TARGET = 1.05

Seen = list[tuple[float, float]]
"""(begun, taken) of each operation, in seconds."""


def drive(place: Where, entries: int, rate: float, end: Connection) -> None:
    """Read and write at a fixed rate until told to stop; answer with what was seen."""
    dice = random.Random(1)
    seen: Seen = []
    with open_at(place) as client:
        mapped = client.map(MAP)
        end.send(None)
        due_s = time.monotonic()
        while not end.poll():
            due_s = max(due_s + 1 / rate, time.monotonic() - 1.0)
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            key = f"key-{dice.randrange(entries):07d}"
            begun_s = time.monotonic()
            if dice.random() < 0.5:
                mapped.get(key)
            else:
                mapped.put(key, VALUE)
            seen.append((begun_s, time.monotonic() - begun_s))
    end.send(seen)


class Traffic:
    """A client in a process of its own: what it measures is the cluster, not this program."""

    def __init__(self, place: Where, entries: int, rate: float) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")
        self._end, theirs = context.Pipe()
        self._process = context.Process(target=drive, args=(place, entries, rate, theirs))
        self._process.start()
        self._end.recv()

    def stop(self) -> Seen:
        """End it; return what it has seen."""
        self._end.send(None)
        seen: Seen = self._end.recv()
        self._process.join()
        return seen


def summary(seen: Seen, begin_s: float, end_s: float) -> dict[str, float]:
    """Return the figures of what was begun in a time."""
    taken = sorted(took for at, took in seen if begin_s <= at < end_s)
    if not taken:
        return {"operations": 0}
    return {
        "operations": len(taken),
        "per_second": len(taken) / (end_s - begin_s),
        "p50_ms": statistics.median(taken) * 1000,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1000,
        "max_ms": taken[-1] * 1000,
    }


def copies_of(client: Grid) -> set[tuple[int, str]]:
    """Return (partition, node) of every copy."""
    partitions = client.status()["partition_map"]
    return {
        (partition, partitions["holders"][holder])
        for role in ("primaries", "backups")
        for partition, holder in enumerate(partitions[role])
        if holder >= 0
    }


def load(client: Grid, entries: int) -> None:
    """Store all entries."""
    mapped = client.map(MAP)
    for start in range(0, entries, BATCH):
        mapped.put_all({f"key-{n:07d}": VALUE for n in range(start, min(start + BATCH, entries))})


def measure(
    places: AbstractContextManager[LocalNodes | HostNodes], entries: int, rate: float
) -> dict[str, Any]:
    """Run it on a cluster of one node; return the figures."""
    with places as nodes, connected(nodes) as client:
        load(client, entries)
        traffic = Traffic(where(nodes), entries, rate)
        calm_s = time.monotonic()
        time.sleep(SETTLE_S)
        started_s = time.monotonic()
        name = nodes.start()
        nodes.wait_until_ready(name)
        ready_s = time.monotonic()
        filled_s = wait_until_safe(client, 2)
        time.sleep(SETTLE_S)
        seen = traffic.stop()
        before = copies_of(client)
        nodes.wait_until_ready(nodes.start())
        wait_until_safe(client, NODES)
        moved = len(copies_of(client) - before)
        missing = entries - len(client.map(MAP))
    least = 2 * PARTITION_COUNT // NODES
    return {
        "entries": entries,
        "entries_missing": missing,
        "start_s": ready_s - started_s,
        "fill_s": filled_s - ready_s,
        "entries_per_second": entries / (filled_s - ready_s),
        "before": summary(seen, calm_s, started_s),
        "during": summary(seen, ready_s, filled_s),
        "after": summary(seen, filled_s, filled_s + SETTLE_S),
        "moves_on_join": {"copies": moved, "least": least, "ratio": moved / least},
    }


def main() -> int:
    """Run it and print; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=5_000)
    parser.add_argument("--hosts", action="store_true", help="each node on a host (root)")
    parser.add_argument("--loss", type=float, default=0.0, help="with --hosts: of packets (0)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    places: AbstractContextManager[LocalNodes | HostNodes] = (
        hosts_of(1, options.loss, hosts=NODES)
        if options.hosts
        else nodes_of(1, storage_processes=1)
    )
    figures = {
        "machine": machine(),
        "rate": options.rate,
        "hosts": options.hosts,
        "loss": options.loss,
        **measure(places, options.entries, options.rate),
    }
    figures["ok"] = {
        "fill": figures["entries_per_second"] >= FILL_TARGET,
        "p99": figures["during"].get("p99_ms", 0.0) <= P99_TARGET_MS,
        "moves": figures["moves_on_join"]["ratio"] <= MOVES_TARGET,
        "entries": figures["entries_missing"] == 0,
    }
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(figures))
    return 0 if all(figures["ok"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
