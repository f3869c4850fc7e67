"""A node is killed: how long do its partitions answer nobody, and when is all backed again?

Each round kills one of the nodes (SIGKILL to all of its processes), and from then on four threads
use an entry of each partition that it was primary of. One reads and one writes them one after the
other: the first success tells of the first partition; the last has waited for all before it and,
with `--loss`, for each of their lost packets. One reads and one writes all of them at once, by
`get_all` and `put_all`: the time until the last partition is there. That one is judged.

    python -m bench.failover [--rounds 20] [--nodes 4] [--hosts [--loss 0.02]] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bench.cluster import (
    a_key_of_each_partition,
    connected,
    hosts_of,
    nodes_of,
    wait_until_safe,
)
from bench.measure import machine
from grid.chaos.target import Nodes
from grid.client.session import Grid

TARGET_S = 1.5
ENTRIES = 20_000
"""In the map besides the probes, so that there is something to copy."""


def run_round(nodes: Nodes, client: Grid, count: int, keys: list[str]) -> dict[str, Any]:
    """Kill one node; return what was seen."""
    mapped = client.map("failover")
    victim = nodes.alive()[0]
    member = next(m for m in client.status()["members"] if m["name"] == victim)
    lost = [key for key in keys if (owner := mapped.owner_of(key)) and owner.hex() == member["id"]]
    killed_s = time.monotonic()
    nodes.kill(victim)

    def measured(operation: Callable[[str], object], times_s: list[float]) -> None:
        for key in lost:
            operation(key)
            times_s.append(time.monotonic() - killed_s)

    def measured_together(operation: Callable[[], object], name: str) -> None:
        operation()
        together_s[name] = time.monotonic() - killed_s

    reads_s: list[float] = []
    writes_s: list[float] = []
    together_s: dict[str, float] = {}
    threads = [
        threading.Thread(target=measured, args=(mapped.get, reads_s)),
        threading.Thread(target=measured, args=(lambda key: mapped.put(key, 2), writes_s)),
        threading.Thread(target=measured_together, args=(lambda: mapped.get_all(lost), "read")),
        threading.Thread(
            target=measured_together, args=(lambda: mapped.put_all(dict.fromkeys(lost, 2)), "write")
        ),
    ]
    for thread in threads:
        thread.start()
    restored_s = wait_until_safe(client, count - 1) - killed_s
    for thread in threads:
        thread.join()
    started_s = time.monotonic()
    nodes.wait_until_ready(nodes.start())
    rejoined_s = wait_until_safe(client, count) - started_s
    return {
        "partitions": len(lost),
        "read_s": {"first": min(reads_s), "p50": statistics.median(reads_s), "last": max(reads_s)},
        "write_s": {
            "first": min(writes_s), "p50": statistics.median(writes_s), "last": max(writes_s),
        },
        "together_s": together_s,
        "copies_restored_s": restored_s,
        "rejoined_and_safe_s": rejoined_s,
    }  # fmt: skip


def main() -> int:
    """Run the rounds and print; return 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--hosts", action="store_true", help="each node on a host (root)")
    parser.add_argument("--loss", type=float, default=0.0, help="with --hosts: of packets (0)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keys = a_key_of_each_partition()
    rounds = []
    places = (
        hosts_of(options.nodes, options.loss)
        if options.hosts
        else nodes_of(options.nodes, storage_processes=1)
    )
    with places as nodes, connected(nodes) as client:
        wait_until_safe(client, options.nodes)
        mapped = client.map("failover")
        mapped.put_all({f"entry-{number}": bytes(100) for number in range(ENTRIES)}, ack="backup")
        mapped.put_all(dict.fromkeys(keys, 1), ack="backup")
        for number in range(options.rounds):
            seen = run_round(nodes, client, options.nodes, keys)
            rounds.append(seen)
            print(
                f"round {number + 1}: {seen['partitions']} partitions; all read after "
                f"{seen['together_s']['read']:.2f} s, written after "
                f"{seen['together_s']['write']:.2f} s (one after the other "
                f"{seen['read_s']['last']:.2f}, {seen['write_s']['last']:.2f} s); "
                f"copies restored {seen['copies_restored_s']:.2f} s; the node came back and all "
                f"was safe in {seen['rejoined_and_safe_s']:.2f} s"
            )
        missing = [key for key in keys if mapped.get(key) is None]
    figures = {
        "machine": machine(),
        "nodes": options.nodes,
        "hosts": options.hosts,
        "loss": options.loss,
        "rounds": options.rounds,
        "entries_missing": len(missing),
        **{
            name: {
                "p50": statistics.median(values),
                "max": max(values),
            }
            for name, values in {
                "first_read_s": [r["read_s"]["first"] for r in rounds],
                "last_read_s": [r["read_s"]["last"] for r in rounds],
                "first_write_s": [r["write_s"]["first"] for r in rounds],
                "last_write_s": [r["write_s"]["last"] for r in rounds],
                "all_read_s": [r["together_s"]["read"] for r in rounds],
                "all_written_s": [r["together_s"]["write"] for r in rounds],
                "copies_restored_s": [r["copies_restored_s"] for r in rounds],
                "rejoined_and_safe_s": [r["rejoined_and_safe_s"] for r in rounds],
            }.items()
        },
    }
    slowest_s = max(figures["all_read_s"]["p50"], figures["all_written_s"]["p50"])
    figures["target_s"] = TARGET_S
    figures["ok"] = slowest_s <= TARGET_S and not missing
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(figures))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
