"""What all rows share: the running pools, how much is measured, the comparison, the targets."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from bench.executor_peers import CLUSTERS
from bench.executor_rows.driver import WORKERS, Ask, Driver
from bench.measure import Row, interleaved, median_ratio

OURS = "grid"

TARGETS: Mapping[str, Mapping[str, float]] = {
    "single": {"pool": 0.3, "ray": 3.0, "dask": 20.0},
    "burst": {"pool": 0.6, "ray": 5.0, "dask": 15.0},
    "map": {"pool": 0.3, "ray": 20.0, "dask": 100.0},
    "payload": {"pool": 0.5, "ray": 2.0, "dask": 5.0},
    "busy": {"ideal": 0.95},
    "start": {"ray": 3.0, "dask": 1.0},
}
"""The least ratio by kind of row and peer; the first is the row's target, the others floors."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    singles: int
    """Calls, one at a time, in one round."""
    burst: int
    """Empty calls at once."""
    payloads: int
    """Calls with a value there and back."""
    heavy: int
    """Tasks that keep a core busy."""
    heavy_s: float
    """What each of them takes."""
    skewed: int
    """Short tasks, of which one in a hundred is long."""
    kills: int
    """Rounds in which a node is killed."""


FULL = Size(
    3, singles=300, burst=10_000, payloads=1000, heavy=20, heavy_s=0.5, skewed=1000, kills=3
)
QUICK = Size(2, singles=60, burst=2000, payloads=100, heavy=8, heavy_s=0.2, skewed=200, kills=1)


@dataclass(slots=True)
class Run:
    """One run of the benchmark: its size, who is compared and the pools that are up."""

    size: Size
    peers: Sequence[str]
    drivers: dict[str, Driver] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    @property
    def cores(self) -> int:
        """Cores that the workers of one pool can keep busy."""
        return min(len(os.sched_getaffinity(0)), WORKERS)

    def say(self, text: str) -> None:
        """Show progress."""
        seconds = time.monotonic() - self.started_s
        print(f"[{seconds:4.0f} s] {text}", file=sys.stderr, flush=True)

    def ask_all(
        self,
        name: str,
        ask: Ask,
        *,
        clusters_share: int = 1,
    ) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Ask all in turn, round by round; return the figures, and each one's median detail.

        The peers that are clusters get one task in `clusters_share`, for the figures that are
        rates: they are so much slower that they would take most of the time.
        """
        self.say(name)
        details: dict[str, list[float]] = {peer: [] for peer in self.drivers}
        fewer = msgspec.structs.replace(ask, count=ask.count // clusters_share)

        def measure(peer: str, driver: Driver) -> float:
            answer = driver.ask(fewer if peer in CLUSTERS else ask)
            details[peer].append(answer.detail)
            return answer.figure

        figures = interleaved(
            {peer: partial(measure, peer, driver) for peer, driver in self.drivers.items()},
            self.size.rounds,
        )
        # The first was the round that does not count.
        return figures, {peer: statistics.median(values[1:]) for peer, values in details.items()}


def row_of(
    kind: str,
    name: str,
    figures: Mapping[str, Sequence[float]],
    *,
    unit: str,
    more_is_better: bool,
    notes: str = "",
) -> Row:
    """Return the row of grid against everybody else in `figures`, with the targets of its kind."""
    own = figures[OURS]
    peers = {peer: values for peer, values in figures.items() if peer != OURS}
    targets = TARGETS.get(kind, {})
    rival = next(iter(targets), None)
    return Row(
        name,
        statistics.median(own),
        unit,
        {peer: statistics.median(values) for peer, values in peers.items()},
        {
            peer: median_ratio(own, values) if more_is_better else median_ratio(values, own)
            for peer, values in peers.items()
        },
        targets[rival] if rival is not None else None,
        notes=notes,
        target_peer=rival,
        floors={peer: least for peer, least in targets.items() if peer != rival},
    )
