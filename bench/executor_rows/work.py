"""Tasks that compute: how much of the machine they get, and how long the uneven ones take."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from bench.executor_rows.driver import WORKERS, Answer, Ask, Driver
from bench.executor_rows.run import OURS, Run, row_of
from bench.executor_rows.tasks import loops_per_second
from bench.measure import Row, interleaved

IDEAL = "ideal"
SHORT_S = 0.001
LONG_S = 0.1
WARM_TASKS = 2 * WORKERS
"""Run before what counts."""


def busy_rows(run: Run) -> list[Row]:
    """Equal tasks: CPU seconds of the tasks in each second, against the cores there are."""
    count, task_s = run.size.heavy, run.size.heavy_s
    name = f"{count} tasks of {task_s:g} s: busy cores, in percent"
    ask = Ask("busy", count, int(task_s * loops_per_second()))
    figures, wall_s = _ask_alone(run, name, ask, lambda answer: 100 * answer.figure)
    figures[IDEAL] = [100.0 * run.cores] * run.size.rounds
    return [
        row_of("busy", name, figures, unit="%", more_is_better=True, notes=_walls(wall_s)),
    ]


def skew_rows(run: Run) -> list[Row]:
    """One task in a hundred takes a hundred times as long: time, against an even share."""
    loops_per_s = loops_per_second()
    count = run.size.skewed
    name = f"{count:,} tasks of 1 ms, 1 % of them 100 ms: time, in percent of the ideal"
    ask = Ask("busy", count, int(SHORT_S * loops_per_s), int(LONG_S * loops_per_s))
    figures, wall_s = _ask_alone(run, name, ask, lambda answer: 100 * run.cores / answer.figure)
    return [
        row_of("skew", name, figures, unit="%", more_is_better=False, notes=_walls(wall_s)),
    ]


def _ask_alone(
    run: Run, name: str, ask: Ask, figure: Callable[[Answer], float]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """As `Run.ask_all`, with one pool up at a time: an ideal knows no idle neighbours."""
    run.say(name)
    details: dict[str, list[float]] = {}

    def measured(peer: str) -> float:
        with Driver(peer) as driver:
            driver.ask(Ask("busy", WARM_TASKS, ask.size))  # Now all workers have the function.
            answer = driver.ask(ask)
        details.setdefault(peer, []).append(answer.detail)
        return figure(answer)

    figures = interleaved(
        {peer: partial(measured, peer) for peer in (OURS, *run.peers)}, run.size.rounds
    )
    # The first was the round that does not count.
    return figures, {peer: statistics.median(values[1:]) for peer, values in details.items()}


def _walls(wall_s: dict[str, float]) -> str:
    return "took " + ", ".join(f"{peer} {seconds:.2f} s" for peer, seconds in wall_s.items())
