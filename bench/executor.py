"""The executor beside ProcessPoolExecutor, loky, Dask and Ray, each with two workers, here.

Each pool has a calling process of its own on this machine; what is compared is run in turn, round
by round. For most rows all pools are up the whole time, so that what one costs while it is idle is
paid by all (Ray's helpers take a few percent of a core); for those that are compared with an ideal
(``busy``, ``skew``) and ``start`` one is up at a time. Nobody is pinned: a pool is there to use all
cores.
Ray runs in a network namespace of its own, which needs root.

    python -m bench.executor [--quick] [--peers pool,loky,dask,ray] [--only KIND,...]
                             [--rounds N] [--json FILE]
    python -m bench.executor --setup    installs the peers, measures nothing

Not here: more than one machine. One node that dies is in row ``kill``, for grid only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from bench.choice import names_of, present
from bench.executor_peers import PEERS, lacking
from bench.executor_rows.calls import burst_rows, map_rows, payload_rows, single_rows
from bench.executor_rows.driver import Driver, end_all
from bench.executor_rows.kill import kill_rows
from bench.executor_rows.run import FULL, OURS, QUICK, Run
from bench.executor_rows.start import start_rows
from bench.executor_rows.work import busy_rows, skew_rows
from bench.measure import Row, publish
from bench.peers.setup import install

KINDS: dict[str, Callable[[Run], list[Row]]] = {
    "single": single_rows,
    "burst": burst_rows,
    "map": map_rows,
    "payload": payload_rows,
    "busy": busy_rows,
    "skew": skew_rows,
    "start": start_rows,
    "kill": kill_rows,
}
REMEDY = "python -m bench.executor --setup installs what is Python's"
START_THEIR_OWN = frozenset({"busy", "skew", "start", "kill"})

_PR_SET_CHILD_SUBREAPER = 36


def measure(run: Run, kinds: Sequence[str]) -> list[Row]:
    """Start the pools that the kinds need and return all their rows."""
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        if not START_THEIR_OWN.issuperset(kinds):
            run.say(f"starting {', '.join([OURS, *run.peers])}")
            for name in (OURS, *run.peers):
                run.drivers[name] = stack.enter_context(Driver(name))
        for kind in KINDS:
            if kind in kinds and kind not in START_THEIR_OWN:
                rows += KINDS[kind](run)
    run.drivers.clear()
    for kind in KINDS:
        if kind in kinds and kind in START_THEIR_OWN:
            rows += KINDS[kind](run)
    run.say("done")
    return rows


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """End every process that was started in this block, also one whose parent has died."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        end_all(psutil.Process().children(recursive=True))


def verdict(rows: Sequence[Row]) -> int:
    """Say which figures are missed; return 1 if any, else 0."""
    missed = [f"not reached: {row.name}" for row in rows if row.ok is False] + [
        f"{peer} is too near: {row.name} ({row.ratio[peer]:.2f}, wanted {row.floors[peer]:.2f})"
        for row in rows
        for peer in row.behind
    ]
    for row in rows:
        if row.notes:
            print(f"{row.name}: {row.notes}")
    for line in missed:
        print(line)
    return 1 if missed else 0


def main() -> int:
    """Measure and print; return 1 when a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, calls and tasks")
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
    parser.add_argument("--setup", action="store_true", help="install the peers and end")
    options = parser.parse_args()
    if options.setup:
        return install([])  # Python packages only, which every peer's setup installs.
    size = QUICK if options.quick else FULL
    if options.rounds is not None:
        size = dataclasses.replace(size, rounds=max(1, options.rounds))
    # What was started is stopped also when this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    run = Run(size, present(options.peers, lacking, REMEDY))
    with nothing_left_behind():
        rows = measure(run, options.only)
    publish(f"The executor ({size.rounds} interleaved rounds, medians)", rows, options.json)
    return verdict(rows)


if __name__ == "__main__":
    sys.exit(main())
