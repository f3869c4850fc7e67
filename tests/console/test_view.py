"""What the console shows; ``screens.py`` says how to rewrite the stored pictures."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from grid.console.document import WorkerStatus, decode
from grid.console.model import ConsoleModel
from grid.console.partition_grid import LOOKS
from grid.console.tables import status_table
from grid.console.view import SMALL_HEIGHT, render, worker_text

from .moments import MOMENTS
from .samples import (
    MEMBER_COUNTS,
    SIZES,
    member,
    model,
    partition_map,
    partitions,
    status,
    status_dict,
    workers,
)
from .screens import ansi, assert_snapshot, screen


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
    counts = (70, 6, 12)
    shown = status(
        4,
        members=members,
        partitions=partitions(*counts),
        partition_map=partition_map(4, *counts),
        unprotected_entries=45_678,
    )
    console_model.update(shown, 1.0)
    console_model.add_event("12:00:01", "WARNING", "n2 is suspect")
    console_model.add_event("12:00:04", "ERROR", "n2 is dead: " + "refused " * 20)
    assert_snapshot("live_trouble_80x24", screen(render(console_model, 80, 24), 80))


def test_screen_before_the_first_status_says_that_it_waits() -> None:
    """The console is up before the cluster is."""
    console_model = ConsoleModel("127.0.0.1:7701")
    console_model.add_event("12:00:00", "INFO", "starting")
    assert_snapshot("live_waiting_80x24", screen(render(console_model, 80, 24), 80))


def test_a_cluster_of_the_usual_name_is_not_said_twice() -> None:
    """Nobody has named it, so the program's name stands for both."""
    console_model = ConsoleModel("127.0.0.1:7701")
    for cluster, words in (("grid", ["grid"]), ("books", ["grid", "books"])):
        console_model.update(status(1, cluster=cluster), 1.0)
        title = screen(render(console_model, 80, 24), 80)[0]
        assert title.partition("this node")[0].split() == words


def test_newest_events_fill_the_rows_below_in_order() -> None:
    """The last row above the hint holds the last event."""
    lines = screen(render(model(4), 80, 24), 80)
    shown = [int(line.split()[3]) for line in lines if line.startswith("12:00:")]
    assert shown == list(range(60 - len(shown), 60))
    assert "event 59" in lines[-2]


@pytest.mark.parametrize("height", [10, 16, 24])
def test_crowd_of_members_leaves_room_for_events(height: int) -> None:
    """Forty members on a small screen: the rest is counted, the events stay."""
    lines = screen(render(model(40), 80, height), 80, height)
    assert len(lines) <= height
    assert any("more: " in line for line in lines)
    assert "event 59" in lines[-2 if height >= SMALL_HEIGHT else -1]


def test_living_members_keep_their_rows_before_dead_ones() -> None:
    """Old deaths pile up in the member list and must not hide the living."""
    dead = [member(number, state="dead") for number in range(1, 30)]
    console_model = ConsoleModel("a:1")
    console_model.update(status(0, members=[*dead, member(30), member(31, state="suspect")]), 1.0)
    lines = screen(render(console_model, 80, 24), 80)
    living = [line.split()[0] for line in lines if re.search(r" (alive|suspect) +\d", line)]
    assert living == ["n30", "n31"]
    assert any(re.match(r"\.\.\. and \d+ more: \d+ dead$", line.rstrip()) for line in lines)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 81, 100, 133])
def test_no_line_exceeds_any_width(width: int) -> None:
    """Long names, wide characters and markup are cut, not wrapped and not obeyed."""
    strange = member(1, name="読書読書読書読書読書", address="[fe80::1234:5678:9abc:def0]:7701")
    console_model = ConsoleModel("127.0.0.1:7701")
    console_model.update(status(1, cluster="[red]" * 30, members=[strange]), 1.0)
    console_model.add_event("12:00:00", "INFO", "[bold]長い" * 40)
    lines = screen(render(console_model, width, 24), width)
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) <= 24


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


def test_without_colours_every_state_still_has_its_sign() -> None:
    """NO_COLOR, a monochrome terminal, a colour-blind person."""
    members = [
        member(number, state=state)
        for number, state in enumerate(("alive", "suspect", "dead", "left"))
    ]
    console_model = ConsoleModel("a:1")
    counts = (2, 3, 4)
    shown = status(
        4,
        members=members,
        node=member(1)["id"],
        partitions=partitions(*counts),
        partition_map=partition_map(4, *counts),
    )
    console_model.update(shown, 1.0)
    text = ansi(render(console_model, 120, 40), NO_COLOR="1", TERM="xterm")
    codes = {
        int(code) for match in re.findall(r"\x1b\[([\d;]+)m", text) for code in match.split(";")
    }
    assert codes <= {0, 1, 2}
    for word in ("alive", "suspect", "dead", "left", *(look.sign for look in LOOKS.values())):
        assert word in text
    for look in LOOKS.values():
        assert look.name in text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("moment", MOMENTS)
def test_moments_of_the_demonstrations_look_as_stored(moment: str, size: tuple[int, int]) -> None:
    """What people see in them."""
    width, height = size
    lines = screen(render(MOMENTS[moment](), width, height), width, height)
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) == height
    assert_snapshot(f"{moment}_{width}x{height}", lines)


def test_grid_gives_way_to_members_and_events() -> None:
    """Twelve members on a small screen have all their rows; the counts are in the headline."""
    lines = screen(render(model(12), 80, 24), 80)
    assert sum(" alive " in line for line in lines) == 12
    assert not any(line.startswith("partitions ") for line in lines)
    assert sum(line.startswith("12:00:") for line in lines) == 4


def test_workers_are_in_a_line_or_in_a_list_where_there_is_room() -> None:
    """Which of them runs, what, and for how long."""
    small = screen(render(model(4), 80, 24), 80)
    line = next(line for line in small if "workers here" in line)
    assert re.search(r"3 of 4 busy  crunch runs 0s crunch runs 1m crunch waits 3s idle", line)
    large = "\n".join(screen(render(model(4), 200, 60), 200, 60))
    assert re.search(r"pid 4102 +crunch runs 1m", large)
    assert "busy" not in large


@pytest.mark.parametrize(
    ("width", "shown"),
    [(9, "runs 2s"), (12, "runs 2s"), (13, "crun\u2026 runs 2s"), (14, "crunch runs 2s")],
)
def test_name_of_a_worker_s_function_takes_what_room_there_is(width: int, shown: str) -> None:
    busy = WorkerStatus(1, 2.0, False, "crunch")
    assert worker_text(busy, width).plain == shown
    assert worker_text(WorkerStatus(1, None, False), width).plain == "idle"


def test_name_of_a_function_from_a_hostile_node_does_no_harm_in_a_terminal() -> None:
    busy = WorkerStatus(1, 2.0, True, "[bold red]\x1b[2J\ncrunch")
    assert worker_text(busy, 60).plain == "[bold red] [2J crunch waits 2s"
    assert "\x1b[2J" not in ansi(worker_text(busy, 60))


def test_many_workers_are_cut_not_wrapped() -> None:
    """A machine with a hundred cores."""
    console_model = ConsoleModel("a:1")
    console_model.update(status(1, workers=workers(*[1.0] * 100)), 1.0)
    for width, height in SIZES:
        lines = screen(render(console_model, width, height), width, height)
        assert max(cell_len(line) for line in lines) <= width
        assert len(lines) <= height


def test_hint_stands_in_the_last_row_even_before_there_are_events() -> None:
    """It is the row where people look for it."""
    console_model = ConsoleModel("a:1")
    console_model.hint = "q quits"
    lines = screen(render(console_model, 80, 24), 80)
    assert (len(lines), lines[-1].rstrip()) == (24, "q quits")
