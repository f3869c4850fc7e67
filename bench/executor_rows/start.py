"""From nothing to the first result of a cluster of one node, each time in a fresh process."""

from __future__ import annotations

from functools import partial

from bench.executor_peers import CLUSTERS
from bench.executor_rows.driver import Driver
from bench.executor_rows.run import OURS, Run, row_of
from bench.measure import Row, interleaved


def start_rows(run: Run) -> list[Row]:
    """The calling process has imported the library already; what that takes is not counted."""
    name = "start of a cluster to its first result"
    run.say(name)

    def started_ms(peer: str) -> float:
        with Driver(peer) as driver:
            return driver.started_s * 1000

    names = [OURS, *(peer for peer in run.peers if peer in CLUSTERS)]
    figures = interleaved({peer: partial(started_ms, peer) for peer in names}, run.size.rounds)
    return [row_of("start", name, figures, unit="ms", more_is_better=False)]
