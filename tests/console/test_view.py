"""What the console shows. Snapshots are rewritten when GRID_UPDATE_SNAPSHOTS is set."""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from grid.console.model import ConsoleModel, decode
from grid.console.view import compact, render, status_table

from .samples import MEMBER_COUNTS, SIZES, member, model, partitions, status, status_dict

SNAPSHOTS = Path(__file__).parent / "snapshots"


def screen(renderable: RenderableType, width: int, height: int = 24) -> list[str]:
    """Return the lines a terminal of that size would show, trailing blanks included."""
    stream = StringIO()
    console = Console(file=stream, width=width, height=height, color_system=None, highlight=False)
    console.print(renderable)
    return stream.getvalue().splitlines()


def ansi(renderable: RenderableType) -> str:
    """Return the output of a terminal with colours."""
    stream = StringIO()
    console = Console(
        file=stream,
        width=120,
        height=40,
        force_terminal=True,
        color_system="truecolor",
        _environ={},
    )
    console.print(renderable)
    return stream.getvalue()


def assert_snapshot(name: str, lines: list[str]) -> None:
    """Compare `lines` with the stored ones; blanks at line ends cannot be seen."""
    text = "".join(f"{line.rstrip()}\n" for line in lines)
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("GRID_UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("member_count", MEMBER_COUNTS)
def test_screen_fits_and_looks_as_stored(member_count: int, size: tuple[int, int]) -> None:
    """The three clusters of the demonstrations, on a small and a large terminal."""
    width, height = size
    lines = screen(render(model(member_count), width, height), width, height)
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) == height
    assert_snapshot(f"live_{member_count}_{width}x{height}", lines)


def test_trouble_is_shown() -> None:
    """A dead, a suspect and a departed member, lost partitions, a long event."""
    members = [
        member(1),
        member(2, state="dead"),
        member(3, state="suspect", name="a-name-much-too-long-for-its-column"),
        member(4, state="left"),
    ]
    console_model = ConsoleModel("192.168.1.11:7701")
    console_model.update(
        status(
            4, members=members, partitions=partitions(70, 6, moving=12), unprotected_entries=45_678
        ),
        1.0,
    )
    console_model.add_event("12:00:01", "WARNING", "n2 is suspect")
    console_model.add_event("12:00:04", "ERROR", "n2 is dead: " + "refused " * 20)
    assert_snapshot("live_trouble_80x24", screen(render(console_model, 80, 24), 80))


def test_screen_before_the_first_status_says_that_it_waits() -> None:
    """The console is up before the cluster is."""
    console_model = ConsoleModel("127.0.0.1:7701")
    console_model.add_event("12:00:00", "INFO", "starting")
    assert_snapshot("live_waiting_80x24", screen(render(console_model, 80, 24), 80))


def test_newest_events_fill_the_rows_below_in_order() -> None:
    """The last row holds the last event."""
    lines = screen(render(model(4), 80, 24), 80)
    shown = [int(line.split()[3]) for line in lines if line.startswith("12:00:")]
    assert shown == list(range(60 - len(shown), 60))
    assert "event 59" in lines[-1]


@pytest.mark.parametrize("height", [10, 16, 24])
def test_crowd_of_members_leaves_room_for_events(height: int) -> None:
    """Forty members on a small screen: the rest is counted, the events stay."""
    lines = screen(render(model(40), 80, height), 80, height)
    assert len(lines) <= height
    assert any("more: " in line for line in lines)
    assert "event 59" in lines[-1]


def test_living_members_keep_their_rows_before_dead_ones() -> None:
    """Old deaths pile up in the member list and must not hide the living."""
    dead = [member(number, state="dead") for number in range(1, 30)]
    console_model = ConsoleModel("a:1")
    console_model.update(status(0, members=[*dead, member(30), member(31, state="suspect")]), 1.0)
    lines = screen(render(console_model, 80, 24), 80)
    living = [line.split()[0] for line in lines if re.search(r":7701 (alive|suspect) ", line)]
    assert living == ["n30", "n31"]
    assert any(re.match(r"\.\.\. and \d+ more: \d+ dead$", line.rstrip()) for line in lines)


def test_writes_at_risk_have_a_column_where_the_bar_leaves_room() -> None:
    """Eighty columns are enough with short addresses; the sum stands in the header anyway."""
    for address, is_shown in (("10.0.0.1:7701", True), ("192.168.100.100:7701", False)):
        console_model = ConsoleModel("a:1")
        console_model.update(status(1, members=[member(1, address=address, at_risk=77)]), 1.0)
        headings = screen(render(console_model, 80, 24), 80)[5]
        assert "cpu" in headings
        assert ("risk" in headings) == is_shown


@pytest.mark.parametrize("width", [20, 40, 60, 80, 81, 100, 133])
def test_no_line_exceeds_any_width(width: int) -> None:
    """Long names, wide characters and markup are cut, not wrapped and not obeyed."""
    strange = member(1, name="読書読書読書読書読書", address="[fe80::1234:5678:9abc:def0]:7701")
    console_model = ConsoleModel("127.0.0.1:7701")
    console_model.update(status(1, cluster="[red]" * 30, members=[strange]), 1.0)
    console_model.add_event("12:00:00", "INFO", "[bold]長い" * 40)
    lines = screen(render(console_model, width, 24), width)
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) == 4 + 1 + 2 + 2


def test_names_cannot_write_to_the_terminal() -> None:
    """An escape sequence in a member's name stays text."""
    hostile = member(1, name="\x1b]0;title\x07x", address="a\nb:1")
    console_model = ConsoleModel("\x1b[2Ja:1")
    console_model.update(status(1, cluster="\x1b[31m", members=[hostile]), 1.0)
    for renderable in (render(console_model, 80, 24), status_table(status(1, members=[hostile]))):
        text = "\n".join(screen(renderable, 80))
        assert "\x1b" not in text
        assert "\x07" not in text


def test_colours_are_neither_black_nor_white_nor_exact() -> None:
    """Only the terminal's palette without its ends suits light and dark backgrounds."""
    members = [
        member(number, state=state)
        for number, state in enumerate(("alive", "suspect", "dead", "left"))
    ]
    console_model = model(4)
    console_model.update(decode(status_dict(4, members=members)), 111.0)
    text = ansi(render(console_model, 120, 40)) + ansi(status_table(status(4, members=members)))
    codes = {
        int(code) for match in re.findall(r"\x1b\[([\d;]+)m", text) for code in match.split(";")
    }
    assert codes <= {0, 1, 2, 31, 32, 33, 36}
    assert {31, 32, 33} <= codes


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (1_234_567, "1.23M"),
        (999_600_000, "1G"),
        (7_000_000_000_000, "7000G"),
    ],
)
def test_large_numbers_are_shortened(number: int, text: str) -> None:
    """A column must not grow with its content."""
    assert compact(number) == text


@pytest.mark.parametrize("member_count", MEMBER_COUNTS)
def test_status_table_looks_as_stored(member_count: int) -> None:
    """What ``grid status`` prints into 80 columns."""
    lines = screen(status_table(status(member_count)), 80)
    assert max(cell_len(line) for line in lines) <= 80
    assert_snapshot(f"status_{member_count}", lines)
