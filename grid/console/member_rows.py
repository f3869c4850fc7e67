"""The console's table of members: one line each, as wide as the screen.

Not here: which members are shown (``view.py``), their figures (``document.py``).

Theory of operation: the columns that everybody needs are always there; the others are added in
order of `worth` as far as there is room, and what is left then goes to the sparklines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from grid.console.cells import compact, duration, fit, percent, sparkline
from grid.console.document import MemberStatus
from grid.console.model import SAMPLES_MAX, Sample, one_line

NAME_WIDTH_MIN, NAME_WIDTH_MAX = 6, 16
ADDRESS_WIDTH_MAX = 21
"""``255.255.255.255:65535``; a longer IPv6 address is cut."""

CURVE_WIDTH_MIN, CURVE_WIDTH_MAX = 6, SAMPLES_MAX
GAP = " "

STATE_STYLES = {"alive": "green", "suspect": "yellow", "dead": "not dim bold red", "left": "dim"}


class Column(NamedTuple):
    """A column: its heading, its width and what it shows of a member.

    `worth` says when it is left out: 0 never, else the highest first.
    """

    heading: str
    width: int
    worth: int
    cell: Callable[[MemberStatus], str]


class Curve(NamedTuple):
    """A column of sparklines, which takes what room is left."""

    heading: str
    width: int
    worth: int
    value: Callable[[Sample], float]
    style: str
    highest: float
    """Of the scale; 0: whatever is highest on the screen."""


AnyColumn: TypeAlias = Column | Curve


def _running(member: MemberStatus) -> str:
    count = compact(member.tasks.running)
    return f"{count}/{compact(member.workers)}" if member.workers else count


def _age(member: MemberStatus) -> str:
    """Return since when it runs, or since when it is gone."""
    return duration(member.state_s if member.is_gone else member.age_s)


NAME = Column("member", NAME_WIDTH_MAX, 0, lambda member: one_line(member.name))
ADDRESS = Column("address", ADDRESS_WIDTH_MAX, 4, lambda member: one_line(member.address))
STATE = Column("state", 7, 0, lambda member: member.state)
AGE = Column("age", 4, 0, _age)
COLUMNS: tuple[AnyColumn, ...] = (
    NAME,
    ADDRESS,
    STATE,
    AGE,
    Curve("load", CURVE_WIDTH_MIN, 0, lambda sample: sample.cpu_percent, "cyan", 100.0),
    Column("cpu", 4, 0, lambda member: percent(member.cpu_percent)),
    Column("mem", 4, 0, lambda member: percent(member.memory_percent)),
    Curve("traffic", CURVE_WIDTH_MIN, 7, lambda sample: sample.operations_per_s, "green", 0.0),
    Column("ops/s", 5, 0, lambda member: compact(member.operations_per_s)),
    Column("parts", 7, 2, lambda member: f"{member.primaries}+{member.backups}"),
    Column("entries", 7, 5, lambda member: compact(member.entries)),
    Column("risk", 5, 3, lambda member: compact(member.at_risk)),
    Column("queue", 5, 0, lambda member: compact(member.tasks.queued)),
    Column("run", 5, 1, _running),
    Column("done", 5, 6, lambda member: compact(member.tasks.done)),
    Column("retried", 7, 8, lambda member: compact(member.tasks.retried)),
)
BY_WORTH = sorted(COLUMNS, key=lambda column: column.worth)
TEXTS = (NAME, ADDRESS, STATE)
"""Aligned to the left, and as wide as their content where that is less."""

OF_THE_GONE = (*TEXTS, AGE)
"""What is shown of a member that is dead or has left; it has no figures any more."""

Layout: TypeAlias = list[tuple[AnyColumn, int]]
"""The columns that are shown, each with its width."""


def member_lines(
    members: Sequence[MemberStatus],
    samples_of: Callable[[MemberStatus], Sequence[Sample]],
    width: int,
) -> list[Text]:
    """Return the headings and one line a member, each exactly `width` wide where it can."""
    columns = layout(members, width)
    histories = [samples_of(member) for member in members]
    headings = GAP.join(
        fit(column.heading, size, right=isinstance(column, Column) and column not in TEXTS)
        for column, size in columns
    )
    highest = {
        column: column.highest
        or max((column.value(sample) for history in histories for sample in history), default=0.0)
        for column, _ in columns
        if isinstance(column, Curve)
    }
    lines = [Text(headings, "dim", no_wrap=True)]
    for member, history in zip(members, histories, strict=True):
        line = Text(style="dim" if member.is_gone else "", no_wrap=True)
        for index, (column, size) in enumerate(columns):
            if index:
                line.append(GAP)
            if isinstance(column, Curve):
                values = [column.value(sample) for sample in history]
                line.append(sparkline(values, size, highest[column]), column.style)
            elif member.is_gone and column not in OF_THE_GONE:
                line.append(GAP * size)
            else:
                text = fit(column.cell(member), size, right=column not in TEXTS)
                line.append(text, _style(column, member))
        lines.append(line)
    return lines


def layout(members: Sequence[MemberStatus], width: int) -> Layout:
    """Return the columns for these members on a screen of that width."""
    widths: dict[AnyColumn, int] = {}
    room = width + len(GAP)  # The last column has none behind it.
    for column in BY_WORTH:
        wanted = column.width
        if column in TEXTS and isinstance(column, Column):
            longest = max((cell_len(column.cell(member)) for member in members), default=0)
            wanted = min(wanted, max(longest, len(column.heading)))
        wanted += len(GAP)
        if not column.worth or wanted <= room:
            widths[column] = wanted - len(GAP)
            room -= wanted
    if room < 0:
        widths[NAME] = max(NAME_WIDTH_MIN, widths[NAME] + room)
    curves = [column for column in COLUMNS if isinstance(column, Curve) and column in widths]
    for index, curve in enumerate(curves):
        more = min(max(0, room) // (len(curves) - index), CURVE_WIDTH_MAX - widths[curve])
        widths[curve] += more
        room -= more
    return [(column, widths[column]) for column in COLUMNS if column in widths]


def _style(column: Column, member: MemberStatus) -> str:
    if column is STATE:
        return STATE_STYLES[member.state]
    if column is NAME:
        return "bold"
    return "yellow" if column.heading == "risk" and member.at_risk else ""
