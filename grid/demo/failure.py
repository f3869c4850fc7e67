"""The demonstration of a death: kill -9 of a host in the middle of the books."""

from __future__ import annotations

from grid.demo import ballast
from grid.demo.figures import Outcome, at_least, at_most, exactly
from grid.demo.runs import Books
from grid.demo.stage import Stage

KILL_AFTER_SHARE = 1 / 3
"""Of the tasks."""

RATIO_MAX = 1.5
SLACK = 1.2
"""With fewer than four hosts a death takes more of them away than `RATIO_MAX` leaves time for."""


def ratio_max(hosts: int) -> float:
    """Return how much longer the disturbed run may take."""
    ideal = KILL_AFTER_SHARE + (1 - KILL_AFTER_SHARE) * hosts / (hosts - 1)
    return max(RATIO_MAX, round(SLACK * ideal, 2))


def show(stage: Stage, books: Books) -> Outcome:
    """Run the books undisturbed, then with a death in the middle; compare."""
    victim, tell = stage.victim, stage.narrator
    tell.begin("failure", f"kill -9 of {victim.name} in the middle of the books")
    stage.form()
    tell.step(f"A program on {stage.hosts[0].name} puts {ballast.ENTRIES} entries into a map.")
    ballast.put(stage)
    if not books.has_serial_report:
        tell.step("What the books hold, by one plain process, to compare with:")
        books.serial(stage)
    tell.step("The books, undisturbed:")
    tell.typed(stage.hosts[0].name, f"bin/grid bench --books {books.count}")
    undisturbed = books.parallel(stage)
    tell.seen(f"{undisturbed.wall_s:.1f} s")
    tell.step(f"The books again; at a third of the tasks {victim.name} is killed:")
    tell.typed(stage.hosts[0].name, f"bin/grid bench --books {books.count}")
    tell.typed(victim.name, "kill -9 of all processes of the node")
    is_killed = False

    def kill_at_a_third(done: int) -> None:
        nonlocal is_killed
        if not is_killed and done >= books.parts * KILL_AFTER_SHARE:
            is_killed = True
            count = stage.kill(victim)
            tell.seen(f"{count} processes killed after {done} of {books.parts} tasks")

    disturbed = books.parallel(stage, kill_at_a_third)
    is_equal = books.results_equal()
    tell.seen(f"{disturbed.wall_s:.1f} s, {disturbed.tasks_retried} tasks were run again elsewhere")
    tell.step("The others restore the backups; then the entries are counted.")
    stage.settle()
    lost = ballast.missing(stage)
    tell.seen(f"{ballast.ENTRIES - lost} of {ballast.ENTRIES} entries are there")
    ratio = disturbed.wall_s / undisturbed.wall_s
    figures = {
        "results_equal": is_equal,
        "entries_lost": lost,
        "tasks_retried": disturbed.tasks_retried,
        "extra_time_ratio": round(ratio, 3),
        "undisturbed_s": round(undisturbed.wall_s, 3),
        "disturbed_s": round(disturbed.wall_s, 3),
        "entries": ballast.ENTRIES,
        "hosts": len(stage.hosts),
    }
    limit = ratio_max(len(stage.hosts))
    checks = (
        exactly("the report is that of the plain process", is_equal, True),
        exactly("entries lost", lost, 0),
        at_least("tasks that were run again", disturbed.tasks_retried, 1),
        at_most("time beside the undisturbed run", ratio, limit, " times"),
    )
    return Outcome("failure", figures, checks)
