"""The map beside Redis, Memcached and Hazelcast, each with its Python client, on this machine.

Everything on loopback and without persistence; what is compared is run in turn, round by
round. A server has the last core, a client the first, unless the row says otherwise.

    python -m bench.map [--quick] [--peers redis,memcached,hazelcast] [--only KIND,...]
                        [--rounds N] [--json FILE] [--picture FILE.png]
    python -m bench.map --setup        installs the peers, measures nothing

Not here: more than one machine, and what happens when one fails (``bench/failover.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.choice import names_of, present
from bench.map_rows.blocking import batch_rows, single_rows, spin_rows
from bench.map_rows.callers import caller_rows
from bench.map_rows.growth import growth_rows
from bench.map_rows.messages import message_rows
from bench.map_rows.picture import draw
from bench.map_rows.processes import process_rows
from bench.map_rows.run import FULL, OURS, QUICK, Run
from bench.map_rows.threads import thread_rows
from bench.measure import Row, publish
from bench.peers import PEERS, lacking, server
from bench.peers.grid import GridServer
from bench.peers.setup import install

KINDS: dict[str, Callable[[Run], list[Row]]] = {
    "single": single_rows,
    "spin": spin_rows,
    "batch": batch_rows,
    "processes": process_rows,
    "threads": thread_rows,
    "asyncio": caller_rows,
    "growth": growth_rows,
    "messages": message_rows,
}
REMEDY = "python -m bench.map --setup"
NEED_SERVERS = frozenset({"single", "spin", "batch", "processes", "threads", "asyncio"})


def measure(run: Run, kinds: Sequence[str]) -> list[Row]:
    """Start the servers that the kinds need and return all their rows."""
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        if NEED_SERVERS.intersection(kinds):
            run.say(f"starting {', '.join([OURS, *run.peers])}")
            run.servers[OURS] = stack.enter_context(run.started(GridServer()))
            for name in run.peers:
                run.servers[name] = stack.enter_context(run.started(server(name)))
        for kind in KINDS:
            if kind in kinds and kind in NEED_SERVERS:
                rows += KINDS[kind](run)
    run.servers.clear()
    for kind in KINDS:
        if kind in kinds and kind not in NEED_SERVERS:
            rows += KINDS[kind](run)
    run.unpin_client()
    run.say("done")
    return rows


def verdict(rows: Sequence[Row]) -> int:
    """Say which figures are missed; return 1 if any, else 0."""
    missed = [row for row in rows if row.ok is False]
    for row in missed:
        print(f"not reached: {row.name}")
    behind = [(peer, row) for row in rows for peer in row.behind]
    for peer, row in behind:
        print(f"{peer} is ahead: {row.name} ({row.ratio[peer]:.2f})")
    return 1 if missed or behind else 0


def main() -> int:
    """Measure and print; return 1 when a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, calls and entries")
    parser.add_argument("--peers", type=names_of(PEERS), default=list(PEERS), metavar="NAME,...")
    parser.add_argument(
        "--only",
        type=names_of(tuple(KINDS)),
        default=list(KINDS),
        metavar="KIND,...",
        help=f"some kinds of rows: {', '.join(KINDS)}",
    )
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    parser.add_argument("--setup", action="store_true", help="install the peers and end")
    options = parser.parse_args()
    if options.setup:
        return install(options.peers)
    size = QUICK if options.quick else FULL
    if options.rounds is not None:
        size = dataclasses.replace(size, rounds=max(1, options.rounds))
    # What was started is stopped also when this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    peers = present(options.peers, lacking, REMEDY)
    run = Run(size, peers, sorted(os.sched_getaffinity(0)))
    rows = measure(run, options.only)
    publish(f"The map ({size.rounds} interleaved rounds, medians)", rows, options.json)
    if options.picture is not None:
        draw(rows, options.picture)
    return verdict(rows)


if __name__ == "__main__":
    sys.exit(main())
