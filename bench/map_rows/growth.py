"""Memory per entry, and how the cost of one operation grows with entries and with nodes.

The servers are fresh ones: memory is what a storage process has grown by.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from bench.map_rows.run import (
    OURS,
    Run,
    get_each,
    key_of,
    keys_in_disorder,
    opened,
    put_each,
    row_of,
)
from bench.measure import Row, interleaved
from bench.peers import server as peer_server
from bench.peers.base import Calls, Server
from bench.peers.grid import GridServer

CHUNK = 10_000
NODES = 4
MEMORY_TARGET = 1 / 1.35
ENTRIES_TARGET = 1 / 2
NODES_TARGET = 1 / 1.3
SETTLE_S = 1.0


def fill(run: Run, calls: Calls, count: int, what: str) -> None:
    """Store that many entries of 16 + 100 B."""
    run.say(f"{what}: {count:,} entries")
    for start in range(0, count, CHUNK):
        end = min(start + CHUNK, count)
        # New bytes for each entry, or a client that sends by reference would be flattered.
        entries = {
            key_of(number): calls.value_of(number.to_bytes(100)) for number in range(start, end)
        }
        calls.put_all(entries)


def growth_rows(run: Run) -> list[Row]:
    """Fill a fresh server of each kind; then measure grid small, large and on four nodes."""
    bytes_per_entry: dict[str, list[float]] = {}
    for name in run.peers:
        with run.started(peer_server(name)) as server:
            bytes_per_entry[name] = [_memory(run, name, server)]
    with (
        run.started(GridServer()) as small,
        run.started(GridServer()) as large,
        run.started(GridServer(NODES)) as many,
    ):
        bytes_per_entry[OURS] = [_memory(run, OURS, large)]
        name = f"memory per entry at {run.size.large:,} (storage process RSS, after - before)"
        rows = [row_of(name, bytes_per_entry, unit="B", target=MEMORY_TARGET)]
        return rows + _cost_rows(run, small, large, many)


def _memory(run: Run, name: str, server: Server) -> float:
    process = psutil.Process(server.storage_pid)
    with opened({name: server.tcp}) as clients:
        before = process.memory_info().rss
        fill(run, clients[name], run.size.large, name)
        time.sleep(SETTLE_S)
        return (process.memory_info().rss - before) / run.size.large


def _cost_rows(run: Run, small: Server, large: Server, many: GridServer) -> list[Row]:
    """Three clusters in the same rounds; `large` is filled already."""
    many.wait_until_spread()
    few, lots = f"10^{len(str(run.size.small)) - 1}", f"10^{len(str(run.size.large)) - 1}"
    with opened({"small": small.tcp, "large": large.tcp, "many": many.tcp}) as clients:
        run.pin_client()
        fill(run, clients["small"], run.size.small, "1 node")
        fill(run, clients["many"], run.size.small, f"{NODES} nodes")
        rows = []
        for verb in ("get", "put"):
            run.say(f"{verb}: cost by entries and by nodes")
            times = interleaved(_measures(run, clients, verb), run.size.rounds)
            rows += [
                _cost_row(
                    f"{verb} 100 B, tcp, at {lots} entries against {few}",
                    times["large"],
                    {f"{few} entries": times["small"]},
                    ENTRIES_TARGET,
                ),
                _cost_row(
                    f"{verb} 100 B, tcp, {NODES} nodes on this machine against 1",
                    times["many"],
                    {"1 node": times["small"]},
                    NODES_TARGET,
                ),
            ]
        return rows


def _cost_row(name: str, own: list[float], other: dict[str, list[float]], target: float) -> Row:
    row = row_of(name, {OURS: own, **other})
    return Row(row.name, row.grid, row.unit, row.peers, row.ratio, target)


def _measures(run: Run, clients: dict[str, Calls], verb: str) -> dict[str, Callable[[], float]]:
    value = bytes(100)

    def measure(name: str) -> Callable[[], float]:
        population = run.size.large if name == "large" else run.size.small
        keys = keys_in_disorder(run.size.calls, population)
        if verb == "get":
            return lambda: get_each(clients[name], keys)
        return lambda: put_each(clients[name], keys, value)

    return {name: measure(name) for name in clients}
