"""``grid sim``: the shipped cores, simulated: as many nodes and hours as you like.

Membership alone, or with ``--data`` whole clusters with clients and a checker.

Not here: the simulations and their figures (``simulation/trial.py``, ``simulation/data_trial.py``).
"""

from __future__ import annotations

import argparse
import gc
import sys
from functools import partial
from random import Random
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from grid.arguments import number_within, whole_within, writable_file
from grid.config import Config
from grid.membership.options import MembershipOptions
from grid.simulation.data_trial import DataPlan, DataTrial
from grid.simulation.trial import DOWN_S, Outcome, Plan, Trial

RANDOM_NODES = (2, 3, 4, 5, 8, 12, 24, 48, 96)
"""Sizes that ``--hours`` chooses from when ``--nodes`` names none."""

SEEDS = 1 << 31
DATA_NODES = 5
FALSE_DEATHS_SHOWN = 10

EXAMPLES = """
examples:
  grid sim --nodes 1000 --minutes 12 --loss 0.05
  grid sim --hours 100                 random sizes and seeds; prints what to replay
"""


def run(options: argparse.Namespace, config: Config) -> int:
    """Simulate with the membership options of `config`.

    Returns: 1 when a living node was held for dead or a dead one never noticed.
    """
    if options.data:
        return _run_data(options)
    if options.hours is not None:
        return _accumulate(options, config.membership)
    plan = _plan(options, config.membership, options.nodes or 100, options.seed)
    outcome = _run_one(plan, f"{plan.nodes} nodes, {plan.minutes:g} minutes")
    document = outcome.document()
    Console().print(_table(document))
    _explain(outcome)
    _write(options, document)
    return 1 if _has_failed(outcome) else 0


def _accumulate(options: argparse.Namespace, membership: MembershipOptions) -> int:
    """Run seed after seed until enough node-hours have passed."""
    random = Random(options.seed)
    node_hours, runs = 0.0, 0
    failed: list[dict[str, Any]] = []
    with _progress() as progress:
        bar = progress.add_task("node-hours", total=options.hours)

        def show(nodes: int, before: float, done_s: float) -> None:
            done = before + nodes * done_s / 3600
            progress.update(bar, completed=min(options.hours, done))

        while node_hours < options.hours:
            nodes = options.nodes or random.choice(RANDOM_NODES)
            plan = _plan(options, membership, nodes, random.randrange(SEEDS))
            outcome = Trial(plan).run(partial(show, nodes, node_hours))
            node_hours += outcome.node_hours
            runs += 1
            if _has_failed(outcome):
                failed.append(outcome.document())
                _explain(outcome)
    document = {
        "node_hours": round(node_hours, 2),
        "runs": runs,
        "minutes": options.minutes,
        "loss": options.loss,
        "false_deaths": sum(one["false_deaths"] for one in failed),
        "undetected": sum(one["undetected"] for one in failed),
        "failed": failed,
    }
    Console().print(
        f"{runs} runs, {node_hours:.1f} node-hours at {options.loss:.0%} loss: "
        f"{document['false_deaths']} false deaths, {document['undetected']} undetected."
    )
    _write(options, document)
    return 1 if failed else 0


def _run_data(options: argparse.Namespace) -> int:
    """Run whole clusters under faults, seed after seed."""
    documents: list[dict[str, Any]] = []
    console = Console(highlight=False)
    with _progress() as progress:
        total_s = 60 * options.minutes * options.seeds
        bar = progress.add_task("clusters with data", total=total_s)

        def show(before_s: float, now_s: float) -> None:
            progress.update(bar, completed=before_s + now_s)

        for seed in range(options.seed, options.seed + options.seeds):
            plan = DataPlan(nodes=options.nodes or DATA_NODES, minutes=options.minutes, seed=seed)
            done_s = 60 * options.minutes * len(documents)
            outcome = DataTrial(plan).run(partial(show, done_s))
            document = outcome.document()
            documents.append(document)
            faults = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.faults.items()))
            found = outcome.findings
            console.print(
                f"seed {seed}: {document['verdict']}; {found.operations} operations, "
                f"{found.acknowledged} writes, {found.lost} lost (all reported: "
                f"{not found.lost_unreported}); faults: {faults}",
                soft_wrap=True,
            )
            if not outcome.is_clean:
                wrong = (*outcome.unsettled, *outcome.unequal_copies, *outcome.double_owners)
                for line in (*wrong, *found.examples)[:FALSE_DEATHS_SHOWN]:
                    console.print(f"  {line}", soft_wrap=True)
                console.print(
                    f"  again: grid sim --data --nodes {plan.nodes} --minutes {plan.minutes!r} "
                    f"--seed {seed}",
                    soft_wrap=True,
                )
    violated = [one["seed"] for one in documents if one["verdict"] != "clean"]
    _write(options, {"runs": documents, "violated": violated})
    return 1 if violated else 0


def _plan(
    options: argparse.Namespace, membership: MembershipOptions, nodes: int, seed: int
) -> Plan:
    return Plan(
        membership=membership,
        nodes=nodes,
        minutes=options.minutes,
        loss=options.loss,
        seed=seed,
        stalls_per_node_hour=options.stalls,
    )


def _run_one(plan: Plan, title: str) -> Outcome:
    trial = Trial(plan)
    with _progress() as progress:
        bar = progress.add_task(title, total=60 * plan.minutes)
        # A thousand member lists are a million objects that stay: not worth looking at again.
        gc.freeze()
        try:
            return trial.run(lambda done_s: progress.update(bar, completed=done_s))
        finally:
            gc.unfreeze()


def _has_failed(outcome: Outcome) -> bool:
    return bool(outcome.false_deaths) or outcome.undetected > 0


def _explain(outcome: Outcome) -> None:
    """Say what went wrong, and how to see it again."""
    if not _has_failed(outcome):
        return
    plan = outcome.plan
    console = Console(stderr=True, highlight=False)
    for text in outcome.false_deaths[:FALSE_DEATHS_SHOWN]:
        console.print(f"false death at {text}")
    if outcome.undetected:
        console.print(f"{outcome.undetected} deaths were not known to all after {DOWN_S:g} s")
    # Exact, and on one line: it is there to be copied.
    console.print(
        f"again: grid sim --nodes {plan.nodes} --minutes {plan.minutes!r} --loss {plan.loss!r} "
        f"--stalls {plan.stalls_per_node_hour!r} --seed {plan.seed}",
        soft_wrap=True,
    )


def _table(document: dict[str, Any]) -> Table:
    table = Table(title="simulated membership", show_header=False, title_justify="left")
    for key, value in document.items():
        if isinstance(value, dict):
            for name, figure in value.items():
                table.add_row(f"{key} {name}", "-" if figure is None else f"{figure:.2f}")
        else:
            table.add_row(key, str(value))
    return table


def _write(options: argparse.Namespace, document: dict[str, Any]) -> None:
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    is_terminal = sys.stderr.isatty()
    return Progress(*columns, console=Console(stderr=True), transient=not is_terminal)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--nodes", type=whole_within(1, 5000), metavar="N", help="how many nodes (100)"
    )
    parser.add_argument(
        "--minutes",
        type=number_within(0.1, 10_000),
        default=12.0,
        metavar="M",
        help="simulated minutes (12)",
    )
    parser.add_argument(
        "--loss",
        type=number_within(0, 1),
        default=0.05,
        metavar="P",
        help="share of datagrams lost (0.05)",
    )
    parser.add_argument(
        "--stalls",
        type=number_within(0, 3600),
        default=6.0,
        metavar="R",
        help="pauses of up to 2 s per node and hour (6)",
    )
    parser.add_argument(
        "--seed",
        type=whole_within(0, SEEDS),
        default=1,
        metavar="N",
        help="decides everything else (1)",
    )
    parser.add_argument(
        "--hours",
        type=number_within(0.01, 1_000_000),
        metavar="H",
        help="run random seeds (and sizes, without --nodes) until H node-hours are simulated",
    )
    parser.add_argument(
        "--data",
        action="store_true",
        help="whole clusters with clients, data and faults, judged by the checker (5 nodes)",
    )
    parser.add_argument(
        "--seeds",
        type=whole_within(0, SEEDS),
        default=1,
        metavar="N",
        help="with --data: so many seeds from --seed",
    )
    parser.add_argument(
        "--json", type=writable_file, metavar="FILE", help="write the figures as JSON"
    )
