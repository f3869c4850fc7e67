"""How long tasks take when reports of load are old: policies compared on virtual time.

The shipped cores of submitters and nodes at 80 % load, with exponential service times; reports
are as old as so many service times. Mean and 99th percentile of the response time, in
service times. ``chosen`` is what grid does: two random choices counting own sends, and
stealing by idle nodes; it is wanted within 15 % of two choices that know every queue.

    python -m bench.placement [--tasks 40000] [--json FILE]

Not here: what a task costs on real machines (``executor.py``).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from random import Random

from bench.measure import Row, publish
from grid.executor.placement import NodeLoad, Policy, choose
from grid.simulation.placement_trial import PlacementTrial, Plan, ResponseTimes
from grid.types import NodeId

AGES = (1, 10)
"""Of reports, in service times."""

HERD_TASKS = 2_000
"""Of a policy that herds: its queues only grow, and the time to simulate it with their square."""

WORST_RATIO = 1 / 1.15
SEED = 1


def at_random(
    nodes: list[NodeLoad], preferred: NodeId | None, random: Random, *, backlog: int
) -> NodeLoad | None:
    """Any node: what knowing nothing gives."""
    del preferred, backlog
    return random.choice(nodes)


def least_reported(
    nodes: list[NodeLoad], preferred: NodeId | None, random: Random, *, backlog: int
) -> NodeLoad | None:
    """The node with the shortest queue by its last report: everybody goes there at once."""
    del preferred, random, backlog
    return min(nodes, key=lambda node: node.reported)


POLICIES: dict[str, tuple[Policy, bool]] = {
    "chosen": (choose, True),
    "without stealing": (choose, False),
    "random, with stealing": (at_random, True),
    "random": (at_random, False),
    "least reported": (least_reported, False),
}


def main() -> None:
    """Run all trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=40_000, help="tasks per trial (40000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args()
    plan = Plan(tasks=options.tasks)
    fresh = PlacementTrial(replace(plan, is_fresh=True, steals=False), SEED).run()
    rows = []
    for age in AGES:
        for name, (policy, steals) in POLICIES.items():
            tasks = min(plan.tasks, HERD_TASKS) if policy is least_reported else plan.tasks
            aged = replace(plan, tasks=tasks, report_s=age * plan.task_s, steals=steals)
            rows += _rows(f"{name}, {age}", PlacementTrial(aged, SEED, policy).run(), fresh)
    publish("response time by placement; age of reports in service times", rows, options.json)


def _rows(name: str, times: ResponseTimes, fresh: ResponseTimes) -> list[Row]:
    target = WORST_RATIO if name.startswith("chosen") else None
    return [
        Row(
            f"{name}: {figure}",
            getattr(times, figure),
            "service times",
            {"fresh": getattr(fresh, figure)},
            {"fresh": getattr(fresh, figure) / getattr(times, figure)},
            target,
        )
        for figure in ("mean", "p99")
    ]


if __name__ == "__main__":
    main()
