"""The picture of a `ConsoleModel` for a screen, and the table of ``grid status``.

Not here: what is known and what follows from it (``model.py``), and writing to a terminal
(``terminal.py``).

Theory of operation: ``render`` is a function of model and size, and is what the snapshots test.
Widths follow the content: names and addresses get what they need, the CPU bar takes the rest;
where space is short the writes at risk go first, then the bar, then long names. Colours are the
terminal's own palette by name, and neither black nor white, so light and dark backgrounds both
work.

Omissions: no map of the partitions, no sparklines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from grid.console.model import (
    ClusterStatus,
    ConsoleModel,
    Event,
    MemberStatus,
    exposure,
    headline,
    one_line,
    states_text,
)

EVENT_ROWS_MIN = 4
"""Event lines that a crowd of members cannot push off the screen."""

NAME_WIDTH_MIN, NAME_WIDTH_MAX = 6, 16
ADDRESS_WIDTH_MAX = 21
"""``255.255.255.255:65535``; a longer IPv6 address is cut."""

BAR_WIDTH_MIN, BAR_WIDTH_MAX = 4, 20
GAP_WIDTH = 1

STATE_STYLES = {"alive": "green", "suspect": "yellow", "dead": "bold red", "left": "dim"}
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


class Column(NamedTuple):
    """A column of numbers: its heading, its width and what it shows of a member."""

    heading: str
    width: int
    cell: Callable[[MemberStatus], str]


RISK = Column("risk", 5, lambda member: compact(member.at_risk))
NUMBER_COLUMNS = (
    Column("parts", 7, lambda member: f"{member.primaries}+{member.backups}"),
    Column("entries", 7, lambda member: compact(member.entries)),
    RISK,
    Column("queued", 6, lambda member: compact(member.tasks.queued)),
    Column("run", 5, lambda member: compact(member.tasks.running)),
    Column("done", 5, lambda member: compact(member.tasks.done)),
)
NARROW_COLUMNS = tuple(column for column in NUMBER_COLUMNS if column is not RISK)
"""What is shown where the bar would have no room beside all; the header has the sum."""

STATE_WIDTH = 7
PERCENT_WIDTH = 4


def render(model: ConsoleModel, width: int, height: int) -> RenderableType:
    """Return the console of `model` for a screen of `width` x `height` cells.

    Header, one row a member, then the newest events down to the last row, oldest of them first.
    """
    header = _header(model, width)
    members = model.members
    # Besides the header: a blank row, the headings, and the rule above the events.
    rows_left = height - len(header) - 3
    shown, hidden = _split(members, max(1, rows_left - EVENT_ROWS_MIN))
    parts: list[RenderableType] = [*header, Text(), _member_table(shown, width)]
    rows_left -= len(shown)
    if hidden:
        parts.append(_line(f"... and {len(hidden)} more: {states_text(hidden)}", "dim"))
        rows_left -= 1
    parts.append(Rule("events", align="left", style="dim"))
    if rows_left > 0:
        parts.extend(_event_line(event) for event in list(model.events)[-rows_left:])
    return Group(*parts)


def status_table(status: ClusterStatus) -> Table:
    """Return the table that ``grid status`` prints."""
    verdict = headline(status)
    table = Table(
        box=None,
        padding=(0, GAP_WIDTH, 0, 0),
        pad_edge=False,
        title=Text(one_line(status.cluster), "bold"),
        title_justify="left",
        caption=Text(
            "\n".join(filter(None, [verdict.text, exposure(status)])),
            SEVERITY_STYLES[verdict.severity],
        ),
        caption_justify="left",
    )
    for heading in ("member", "address"):
        table.add_column(heading, no_wrap=True)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("cpu", justify="right", no_wrap=True)
    for column in NUMBER_COLUMNS:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for member in status.members_by_name():
        name, address, state = _identity(member)
        percent = Text(_percent(member.cpu_percent))
        numbers = (Text(column.cell(member)) for column in NUMBER_COLUMNS)
        table.add_row(name, address, Text(str(member.pid)), state, percent, *numbers)
    return table


def compact(number: int) -> str:
    """Return `number` in at most five characters up to 999 billion, e.g. ``9999``, ``12.3k``."""
    if number < 10_000:
        return str(number)
    for size, unit in ((1e3, "k"), (1e6, "M")):
        # From 999.5 on, three digits would be rounded up to 1e+03.
        if number / size < 999.5:
            return f"{number / size:.3g}{unit}"
    return f"{number / 1e9:.3g}G" if number / 1e9 < 999.5 else f"{number / 1e9:.0f}G"


def _header(model: ConsoleModel, width: int) -> list[RenderableType]:
    """Return the lines on top: which cluster, how it is, the figures, what has no backup."""
    title = Text.assemble(("grid", "bold"), "  ")
    figures: list[RenderableType] = [Text(), Text()]
    if model.status is not None:
        title.append(one_line(model.status.cluster), "bold cyan")
        figures = [_fitting(line) for line in _figures(model, model.status)]
        entries = model.status.unprotected_entries
        if entries:
            noun = "entry has" if entries == 1 else "entries have"
            text = f"{compact(entries)} {noun} no backup: one more death would lose them"
            figures.append(_line(text, "yellow"))
    own = Text(f"this node {one_line(model.own_address)}", "dim", no_wrap=True)
    title.truncate(max(0, width - own.cell_len - GAP_WIDTH), overflow="ellipsis", pad=True)
    verdict = model.headline
    return [
        _fitting(title.append(" " * GAP_WIDTH).append_text(own)),
        _line(verdict.text, SEVERITY_STYLES[verdict.severity]),
        *figures,
    ]


def _figures(model: ConsoleModel, status: ClusterStatus) -> list[Text]:
    """Return members, tasks and partitions in numbers."""
    counts = status.partitions
    tasks = status.tasks()
    present = len(status.members) - status.count("left")
    rate = model.tasks_per_s
    work = Text.assemble(
        f"alive {status.count('alive')}/{present}",
        f"   tasks {compact(tasks.queued)} queued, {compact(tasks.running)} running, ",
        f"{rate:.1f}/s" if rate < 100 else f"{compact(round(rate))}/s",
        f"   writes at risk {compact(status.writes_at_risk)}",
    )
    copies = Text.assemble(
        f"partitions {counts.safe} safe, ",
        (f"{counts.unprotected} unprotected", "yellow" if counts.unprotected else ""),
        ", ",
        (f"{counts.lost} lost", "bold red" if counts.lost else ""),
        f", {counts.moving} moving",
    )
    return [work, copies]


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


def _member_table(members: list[MemberStatus], width: int) -> Table:
    """Return headings and one row a member, exactly filling `width` where it can."""
    rows = [_identity(member) for member in members]
    address_width = _content_width("address", [row[1] for row in rows], ADDRESS_WIDTH_MAX)
    for columns in (NUMBER_COLUMNS, NARROW_COLUMNS):
        room = width - _fixed_width(address_width, columns)
        name_width_max = min(NAME_WIDTH_MAX, max(NAME_WIDTH_MIN, room))
        name_width = _content_width("member", [row[0] for row in rows], name_width_max)
        bar_width = min(BAR_WIDTH_MAX, room - name_width - GAP_WIDTH)
        if bar_width >= BAR_WIDTH_MIN:
            break
    else:
        bar_width = 0
    table = Table(box=None, padding=(0, GAP_WIDTH, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("member", width=name_width, no_wrap=True)
    table.add_column("address", width=address_width, no_wrap=True)
    table.add_column("state", width=STATE_WIDTH, no_wrap=True)
    if bar_width:
        table.add_column("cpu", width=bar_width, no_wrap=True)
    table.add_column("" if bar_width else "cpu", width=PERCENT_WIDTH, justify="right", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, width=column.width, justify="right", no_wrap=True)
    for member, identity in zip(members, rows, strict=True):
        bar = [_bar(member.cpu_percent, bar_width)] if bar_width else []
        percent = Text(_percent(member.cpu_percent))
        numbers = (Text(column.cell(member)) for column in columns)
        style = "dim" if member.is_gone else ""
        table.add_row(*identity, *bar, percent, *numbers, style=style)
    return table


def _identity(member: MemberStatus) -> tuple[Text, Text, Text]:
    """Return name, address and state, without markup or control characters."""
    state = Text(member.state, STATE_STYLES[member.state])
    return Text(one_line(member.name), "bold"), Text(one_line(member.address)), state


def _content_width(heading: str, cells: list[Text], width_max: int) -> int:
    """Return the width that shows every cell, up to `width_max`."""
    return min(width_max, max([cell_len(heading), *(cell.cell_len for cell in cells)]))


def _fixed_width(address_width: int, columns: Sequence[Column]) -> int:
    """Return what a row takes besides name and bar, with one gap between any two columns."""
    widths = [address_width, STATE_WIDTH, PERCENT_WIDTH]
    widths += [column.width for column in columns]
    return sum(widths) + GAP_WIDTH * len(widths)


def _percent(percent: float) -> str:
    """Return a whole percentage that fits its column, even if summed over many cores."""
    return f"{min(percent, 999.0):.0f}%"


def _bar(percent: float, width: int) -> Text:
    """Return a bar of `width` cells; the empty part is drawn too, to show the scale."""
    filled = round(min(max(percent, 0.0), 100.0) / 100 * width)
    # One colour at any load: here a busy core is the aim, not an alarm.
    return Text.assemble(("█" * filled, "cyan"), ("░" * (width - filled), "dim"))


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
