"""The demonstration of speed: the books on hosts of equal quota, beside one host of that quota."""

from __future__ import annotations

from statistics import median

from grid.demo.figures import Outcome, at_least, exactly
from grid.demo.runs import Books
from grid.demo.stage import Stage

REPEATS = 3
EFFICIENCY_MIN = 0.95
"""Of the hosts' number: 3.8 on four."""


def show(stage: Stage, books: Books) -> Outcome:
    """Run the books on one host and on all, in turn, and compare the medians."""
    count = len(stage.hosts)
    tell = stage.narrator
    tell.begin("speedup", f"{books.count} books on {count} hosts against one host alone")
    tell.say(
        f"     Every host has {stage.quota:g} of a core. {stage.alone.name} has no node: there one "
        f"plain process analyses\n     the books without grid. The program that drives the cluster "
        f"runs on {stage.hosts[0].name}, {'under' if books.driver_has_quota else 'outside'} the "
        "quota;\n     what it uses is told. On real machines 'bin/grid bench' does both."
    )
    stage.form()
    serial_s: list[float] = []
    parallel_s: list[float] = []
    driver_cpu_s: list[float] = []
    is_equal = True
    for number in range(1, REPEATS + 1):
        tell.step(f"Pair {number} of {REPEATS}: one host alone, then the cluster.")
        tell.typed(stage.hosts[0].name, f"bin/grid bench --books {books.count}")
        serial_s.append(books.serial(stage))
        tell.seen(f"one plain process: {serial_s[-1]:.1f} s")
        result = books.parallel(stage)
        parallel_s.append(result.wall_s)
        driver_cpu_s.append(result.driver_cpu_s)
        is_equal = is_equal and books.results_equal()
        shares = ", ".join(f"{name} {parts}" for name, parts in result.parts_by_node.items())
        tell.seen(
            f"{count} hosts: {result.wall_s:.1f} s, {serial_s[-1] / result.wall_s:.2f} times as "
            f"quick; parts by host: {shares}"
        )
    speedup = median(serial_s) / median(parallel_s)
    given_s = median(parallel_s) * stage.quota * count
    tell.seen(
        f"the driving program used {median(driver_cpu_s):.2f} s of CPU time, "
        f"{median(driver_cpu_s) / given_s:.1%} of what the hosts had"
    )
    figures = {
        "speedup": round(speedup, 3),
        "serial_s": round(median(serial_s), 3),
        "parallel_s": round(median(parallel_s), 3),
        "hosts": count,
        "quota": stage.quota,
        "books": books.count,
        "driver_cpu_s": round(median(driver_cpu_s), 3),
        "driver_has_quota": books.driver_has_quota,
        "results_equal": is_equal,
        "serial_runs_s": [round(seconds, 3) for seconds in serial_s],
        "parallel_runs_s": [round(seconds, 3) for seconds in parallel_s],
    }
    checks = (
        at_least(f"speedup of {count} hosts, by the medians", speedup, EFFICIENCY_MIN * count),
        exactly("all reports are equal", is_equal, True),
    )
    return Outcome("speedup", figures, checks)
