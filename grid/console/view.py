"""The picture of a `ConsoleModel` for a screen.

Not here: what is known and what follows from it (``model.py``), its parts (``member_rows.py``,
``partition_grid.py``), writing to a terminal (``terminal.py``), what commands print
(``tables.py``).

Theory of operation: ``render`` is a function of model and size, and is what the snapshots test.
From top to bottom: four lines on the cluster, a row a member, the partitions as a grid, what the
workers here do, the newest events, what a person can do. Where rows are short, the grid shrinks and
then goes, then the workers, then members, the longest dead first. Colours are the terminal's own
palette by name, and neither black nor white, so light and dark backgrounds both work; nothing is
said by colour alone.
"""

from __future__ import annotations

import math
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.text import Text

from grid.console.cells import compact, duration, rate
from grid.console.document import ClusterStatus, MemberStatus, WorkerStatus
from grid.console.member_rows import member_lines
from grid.console.model import ConsoleModel, Event, one_line, states_text
from grid.console.partition_grid import (
    LARGE,
    LEGEND_WIDTH,
    choose_shape,
    grid_lines,
    legend_lines,
)

EVENT_ROWS_MIN = 4
"""Event lines that a crowd of members cannot push off the screen."""

EVENT_ROWS_GOOD = 8
"""Event lines beyond these that a larger grid leaves."""

SMALL_HEIGHT = 14
"""Below it the figures and the hint give their rows to members and events."""

GAP = "  "
WORKER_WIDTH = 24
"""Of a worker in the list at least: ``pid 1234567 waits 59m``, and a gap."""

FUNCTION_WIDTH_MIN = 5
"""With less room than that the name of a worker's function says nothing."""

SEVERITY_STYLES = {"good": "green", "warning": "yellow", "bad": "bold red"}
LEVEL_STYLES = {
    "DEBUG": "dim",
    "INFO": "cyan",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold red",
}

SHOW_FIRST = {"suspect": 0, "alive": 1, "dead": 2, "left": 3}
"""Who keeps a row when not all fit: old deaths pile up and must not hide the living."""


def render(model: ConsoleModel, width: int, height: int) -> RenderableType:
    """Return the console of `model` for a screen of `width` x `height` cells."""
    return Group(*screen_lines(model, width, height))


def screen_lines(model: ConsoleModel, width: int, height: int) -> list[Text]:
    """Return the lines of the screen, at most `height`, none of them wider than it."""
    is_small = height < SMALL_HEIGHT
    top = _header(model, width)[: 2 if is_small else None]
    bottom = [] if is_small or not model.hint else [_line(model.hint, "dim")]
    # Besides: the headings of the members, and the rule above the events.
    rows_left = height - len(top) - len(bottom) - 2
    members = model.members
    shown, hidden = _split(members, max(1, rows_left - EVENT_ROWS_MIN))
    top += member_lines(shown, model.samples_of, width)
    rows_left -= len(shown)
    if hidden:
        top.append(_line(f"... and {len(hidden)} more: {states_text(hidden)}", "dim"))
        rows_left -= 1
    if model.status is not None:
        panel = _panel(model.status, width, rows_left - EVENT_ROWS_MIN)
        top += panel
        rows_left -= len(panel)
    top.append(_rule(Text("events"), width))
    events = list(model.events)[-rows_left:] if rows_left > 0 else []
    blank = [Text()] * (rows_left - len(events)) if bottom else []
    return [*top, *(_event_line(event) for event in events), *blank, *bottom]


def _header(model: ConsoleModel, width: int) -> list[Text]:
    """Return the lines on top: which cluster, how it is, what it does, what it holds."""
    title = Text.assemble(("grid", "bold"), GAP)
    figures = [Text(), Text()]
    if model.status is not None:
        if model.status.cluster != "grid":  # The usual name, which is said already.
            title.append(one_line(model.status.cluster), "bold cyan")
        figures = _figures(model, model.status)
    own = Text(f"this node {one_line(model.own_address)}", "dim", no_wrap=True)
    title.truncate(max(0, width - own.cell_len - 1), overflow="ellipsis", pad=True)
    verdict = model.headline
    return [
        _fitting(title.append(" ").append_text(own)),
        _line(verdict.text, SEVERITY_STYLES[verdict.severity]),
        *figures,
    ]


def _figures(model: ConsoleModel, status: ClusterStatus) -> list[Text]:
    """Return what is done and what is held, in numbers."""
    tasks = status.tasks()
    present = [member for member in status.members if not member.is_gone]
    workers = sum(member.workers for member in present)
    running = f"{compact(tasks.running)} of {compact(workers)}" if workers else str(tasks.running)
    work = Text.assemble(
        f"tasks {compact(tasks.queued)} queued, {running} running, {rate(model.tasks_per_s)}/s, ",
        f"{compact(tasks.done)} done, {compact(tasks.retried)} retried",
    )
    operations = sum(member.operations_per_s for member in present)
    bare, at_risk = status.unprotected_entries, status.writes_at_risk
    data = Text.assemble(
        f"map operations {compact(operations)}/s, ",
        f"{compact(sum(member.entries for member in present))} entries, ",
        (f"{compact(at_risk)} writes at risk", "yellow" if at_risk else ""),
        (f", {compact(bare)} without backup" if bare else "", "yellow"),
    )
    return [_fitting(work), _fitting(data)]


def _split(
    members: list[MemberStatus], rows_max: int
) -> tuple[list[MemberStatus], list[MemberStatus]]:
    """Return the members to show and those that do not fit, each in the given order."""
    if len(members) <= rows_max:
        return members, []
    # The line that says how many are hidden takes a row itself.
    ranked = sorted(members, key=lambda member: SHOW_FIRST[member.state])
    kept = {id(member) for member in ranked[: max(1, rows_max - 1)]}
    return (
        [member for member in members if id(member) in kept],
        [member for member in members if id(member) not in kept],
    )


def _panel(status: ClusterStatus, width: int, rows_max: int) -> list[Text]:
    """Return the grid of the partitions and the workers here, in at most `rows_max` rows."""
    in_a_line = _workers_line(status.workers, width)
    known = status.partition_map
    shape = choose_shape(width, rows_max - 1, rows_max - 1 - EVENT_ROWS_GOOD)
    if known is None or shape is None:
        return in_a_line[: max(0, rows_max)]
    kinds = known.kinds_for(status.node)
    lines, room = grid_lines(kinds, shape), width - shape.width - len(GAP)
    if room >= LEGEND_WIDTH:
        lines = beside(lines, legend_lines(kinds, shape.rows), shape.width)
        taken = width - room + LEGEND_WIDTH
        room -= LEGEND_WIDTH + len(GAP)
        if room >= WORKER_WIDTH and shape is LARGE:
            lines = beside(lines, _worker_lines(status.workers, room, shape.rows), taken)
            in_a_line = []
    lines = [_rule(_partition_counts(status), width), *map(_fitting, lines), *in_a_line]
    return lines[:rows_max]


def beside(left: list[Text], right: list[Text], left_width: int) -> list[Text]:
    """Return two blocks as one, the second after `left_width` and a gap."""
    lines = []
    for first, second in zip_longest(left, right):
        line = first or Text()
        if second is not None:
            line.append(" " * (left_width - line.cell_len) + GAP).append_text(second)
        lines.append(line)
    return lines


def _partition_counts(status: ClusterStatus) -> Text:
    counts = status.partitions
    return Text.assemble(
        f"partitions {counts.safe} safe, ",
        (f"{counts.unprotected} unprotected", "yellow" if counts.unprotected else ""),
        ", ",
        (f"{counts.lost} lost", "bold red" if counts.lost else ""),
        f", {counts.moving} moving",
    )


def _workers_line(workers: tuple[WorkerStatus, ...], width: int) -> list[Text]:
    """Return what each worker of this node does, in a line; none if there are none."""
    if not workers:
        return []
    busy = sum(worker.running_s is not None for worker in workers)
    line = Text.assemble(("workers here ", "dim"), f"{busy} of {len(workers)} busy ")
    bare = [worker_text(worker, 0).cell_len for worker in workers]
    left = width - line.cell_len - sum(bare) - len(workers)
    share = left // max(1, sum(bool(worker.function) for worker in workers))
    for worker, cells in zip(workers, bare, strict=True):
        line.append(" ").append_text(worker_text(worker, cells + share))
    return [_fitting(line)]


def _worker_lines(workers: tuple[WorkerStatus, ...], width: int, rows: int) -> list[Text]:
    """Return the workers of this node as a list, in several columns where there are many."""
    across = min(width // WORKER_WIDTH, max(1, math.ceil(len(workers) / (rows - 1))))
    cell_width = width // across
    shown = workers[: across * (rows - 1)]
    lines = [Text("workers here", "dim")] if workers else []
    for start in range(0, len(shown), across):
        line = Text()
        for worker in shown[start : start + across]:
            cell = Text(f"pid {worker.pid} ".ljust(12), "dim")
            text = worker_text(worker, cell_width - cell.cell_len - len(GAP))
            line.append_text(cell).append_text(text)
            line.pad_right(cell_width - cell.cell_len - text.cell_len)
        lines.append(line)
    return lines


def worker_text(worker: WorkerStatus, width: int) -> Text:
    """Return what a worker does; of its function, as much of the name as there is room for."""
    if worker.running_s is None:
        return Text("idle", "dim")
    verb, style = ("waits", "yellow") if worker.is_waiting else ("runs", "green")
    since = f"{verb} {duration(worker.running_s)}"
    room = width - len(since) - 1
    function = one_line(worker.function)
    if not function or room < FUNCTION_WIDTH_MIN:
        return Text(since, style)
    text = Text(function)
    text.truncate(room, overflow="ellipsis")
    return text.append(f" {since}", style)


def _rule(title: Text, width: int) -> Text:
    """Return a title that continues as a line."""
    dashes = "─" * max(0, width - title.cell_len - 1)
    return _fitting(Text.assemble(title, " ", (dashes, "dim")))


def _event_line(event: Event) -> Text:
    """Return one event, cut at the right edge."""
    style = LEVEL_STYLES.get(event.level.upper(), "")
    return _fitting(
        Text.assemble((event.time, "dim"), " ", (f"{event.level:<7}", style), " ", event.text)
    )


def _line(text: str, style: str) -> Text:
    """Return a line that is cut, never wrapped."""
    return _fitting(Text(text, style))


def _fitting(text: Text) -> Text:
    """Make `text` be cut at the right edge: a wrapped line would push the last row out."""
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
