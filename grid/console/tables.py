"""What commands print for people: a status, members, partitions, tasks and events.

Not here: the same for programs (``answers.py``), the live screen (``view.py``), who asks
(``status_commands.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grid.console.cells import compact, duration, percent
from grid.console.document import ClusterStatus, MemberStatus
from grid.console.member_rows import STATE_STYLES
from grid.console.model import exposure, headline, one_line
from grid.console.partition_grid import LARGE, choose_shape, grid_lines, legend_lines
from grid.console.view import SEVERITY_STYLES, beside, worker_text
from grid.wire.control import Event

Columns: TypeAlias = dict[str, Callable[[MemberStatus], str]]
"""Headings, and what stands below them, aligned to the right."""

IDENTITY: Columns = {
    "member": lambda member: one_line(member.name),
    "address": lambda member: one_line(member.address),
}
PARTS: Columns = {
    "parts": lambda member: f"{member.primaries}+{member.backups}",
    "entries": lambda member: compact(member.entries),
    "risk": lambda member: compact(member.at_risk),
}
STATUS: Columns = {
    "pid": lambda member: str(member.pid),
    "cpu": lambda member: percent(member.cpu_percent),
    **PARTS,
    "queued": lambda member: compact(member.tasks.queued),
    "run": lambda member: compact(member.tasks.running),
    "done": lambda member: compact(member.tasks.done),
}
MEMBERS: Columns = {
    "age": lambda member: duration(member.age_s),
    "cpu": lambda member: percent(member.cpu_percent),
    "mem": lambda member: percent(member.memory_percent),
    "ops/s": lambda member: compact(member.operations_per_s),
    **PARTS,
}
TASKS: Columns = {
    "workers": lambda member: compact(member.workers),
    "running": lambda member: compact(member.tasks.running),
    "queued": lambda member: compact(member.tasks.queued),
    "done": lambda member: compact(member.tasks.done),
    "retried": lambda member: compact(member.tasks.retried),
}
WORKER_WIDTH_MAX = 60
"""What a worker does, with the longest name of a function."""

SHARES: Columns = {
    "primaries": lambda member: str(member.primaries),
    "backups": lambda member: str(member.backups),
    "entries": lambda member: compact(member.entries),
}


def status_table(status: ClusterStatus) -> RenderableType:
    """Return what ``grid status`` prints: everything at a glance."""
    return Group(_title(status), _table(status.members_by_name(), STATUS), _verdict(status))


def members_table(status: ClusterStatus) -> RenderableType:
    """Return what ``grid members`` prints; of who is gone, since when."""
    table = _table(status.members_by_name(), MEMBERS)
    return Group(table, *(_gone_line(member) for member in status.members if member.is_gone))


def tasks_table(status: ClusterStatus) -> RenderableType:
    """Return what ``grid tasks`` prints: each member's, and each worker's of who answers."""
    sums = status.tasks()
    here = one_line(status.name_of(status.node))
    lines = [
        Text(
            f"{sums.queued} queued, {sums.running} running, {sums.done} done, "
            f"{sums.retried} retried"
        ),
        *(
            Text.assemble(f"{here} worker {worker.pid}: ", worker_text(worker, WORKER_WIDTH_MAX))
            for worker in status.workers
        ),
    ]
    return Group(_table(status.members_by_name(), TASKS), *lines)


def partitions_picture(status: ClusterStatus, width: int) -> RenderableType:
    """Return what ``grid partitions`` prints: shares, the grid, and which are in trouble."""
    lines: list[RenderableType] = [_table(status.members_by_name(), SHARES)]
    known = status.partition_map
    shape = choose_shape(width, LARGE.rows, LARGE.rows)
    if known is not None:
        kinds = known.kinds_for(status.node)
        if shape is not None:
            legend = legend_lines(kinds, shape.rows)
            lines += [Text(), *beside(grid_lines(kinds, shape), legend, shape.width), Text()]
        for kind in ("lost", "unprotected", "moving"):
            ids = [number for number, found in enumerate(kinds) if found == kind]
            if ids:
                lines.append(Text(f"{kind}: {ranges(ids)}"))
    return Group(*lines, _verdict(status))


def event_line(event: Event, tellers: str) -> Text:
    """Return one event with its date and who tells it; the clock is that of the first."""
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time_s))
    kind = f"{one_line(event.kind):<9}"
    return Text.assemble((date, "dim"), f" {kind} {one_line(tellers)}: {one_line(event.text)}")


def ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers with neighbours put together, e.g. ``1-3, 7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _title(status: ClusterStatus) -> Text:
    return Text(one_line(status.cluster), "bold")


def _verdict(status: ClusterStatus) -> Text:
    verdict = headline(status)
    text = "\n".join(filter(None, [verdict.text, exposure(status)]))
    return Text(text, SEVERITY_STYLES[verdict.severity])


def _gone_line(member: MemberStatus) -> Text:
    verb = "died" if member.state == "dead" else "left"
    text = f"{one_line(member.name)} ({one_line(member.address)}) {verb}"
    return Text(f"{text} {duration(member.state_s)} ago", "dim")


def _table(members: Sequence[MemberStatus], figures: Columns) -> Table:
    """Return a row a member: who it is, its state, and the figures."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in (*IDENTITY, "state"):
        table.add_column(heading, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    for member in members:
        identity = (Text(cell(member)) for cell in IDENTITY.values())
        state = Text(member.state, STATE_STYLES[member.state])
        table.add_row(*identity, state, *(Text(cell(member)) for cell in figures.values()))
    return table
