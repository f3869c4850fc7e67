"""A node is killed while tasks run: what that costs, and whether each has its one result.

grid only: the others have no second node here.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.cluster import connected, nodes_of, wait_until_safe
from bench.executor_rows.run import Run
from bench.executor_rows.tasks import sign
from bench.measure import Row
from grid.chaos.nodes import LocalNodes
from grid.client.session import Grid

NODES = 2
TASKS = 200
TASK_S = 0.02
RESULT_DEADLINE_S = 120.0
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Seen:
    """What one round of tasks has shown."""

    wall_s: float
    right: int
    """Tasks that ended once, with their own result."""
    run_again: int
    """Tasks that were started more than once."""
    share_s: float
    """What the killed worker would have taken over, had it lived."""


def run_tasks(client: Grid, nodes: LocalNodes, victim: str | None) -> Seen:
    """Run all tasks, and kill a node when half of them have begun."""
    ended: Counter[int] = Counter()

    def end(number: int, _: Future[int]) -> None:
        ended[number] += 1

    with tempfile.NamedTemporaryFile(prefix="grid-bench-") as file, client.executor() as executor:
        path = Path(file.name)
        start_s = time.perf_counter()
        futures: list[Future[int]] = []
        for number in range(TASKS):
            future = executor.submit(sign, file.name, number, TASK_S)
            future.add_done_callback(partial(end, number))
            futures.append(future)
        share_s = 0.0
        if victim is not None:
            while (begun := path.read_bytes().count(b"\n")) < TASKS / 2:
                time.sleep(POLL_S)
            nodes.kill(victim)
            share_s = (TASKS - begun) * TASK_S / NODES
        unfinished = wait(futures, RESULT_DEADLINE_S).not_done
        wall_s = time.perf_counter() - start_s
        runs = Counter(int(line) for line in path.read_bytes().split())
        if unfinished:
            client.close()  # Or leaving the executor would wait for them for ever.
    right = sum(
        _has_returned(future, number) and ended[number] == 1 and runs[number] >= 1
        for number, future in enumerate(futures)
    )
    return Seen(wall_s, right, sum(count > 1 for count in runs.values()), share_s)


def _has_returned(future: Future[int], number: int) -> bool:
    return future.done() and future.exception() is None and future.result() == number


def kill_rows(run: Run) -> list[Row]:
    """Two nodes of one worker each; one dies in the middle of each round."""
    name = f"{TASKS} tasks of {TASK_S * 1000:.0f} ms, one of {NODES} nodes killed"
    run.say(name)
    calm: list[Seen] = []
    hit: list[Seen] = []
    with nodes_of(NODES, storage_processes=1) as nodes, connected(nodes) as client:
        for number in range(run.size.kills):
            if number:
                nodes.wait_until_ready(nodes.start())
            wait_until_safe(client, NODES)
            calm.append(run_tasks(client, nodes, None))
            hit.append(run_tasks(client, nodes, nodes.alive()[-1]))
    return rows_from(name, calm, hit)


def rows_from(name: str, calm: list[Seen], hit: list[Seen]) -> list[Row]:
    """Return what it cost, and how many results were right in the worst round."""
    pairs = list(zip(calm, hit, strict=True))
    extra_ms = [1000 * (after.wall_s - before.wall_s) for before, after in pairs]
    share_ms = statistics.median(1000 * seen.share_s for seen in hit)
    again = [seen.run_again for seen in hit]
    right = min(seen.right for seen in [*calm, *hit])
    notes = f"{share_ms:.0f} ms of it are the killed worker's share; run twice, by round: {again}"
    return [
        Row(f"{name}: extra time", statistics.median(extra_ms), "ms", {}, {}, notes=notes),
        Row(f"{name}: run twice", statistics.median(again), "tasks", {}, {}),
        Row(
            f"{name}: with one right result",
            right,
            "tasks",
            {"wanted": TASKS},
            {"wanted": right / TASKS},
            target=1.0,
        ),
    ]
