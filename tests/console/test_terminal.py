"""How the consoles treat their terminal, their stream and the process they live in."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from grid.console.model import ConsoleModel, Event
from grid.console.terminal import (
    COLUMNS_MAX,
    ROWS_MAX,
    BoundedConsole,
    LiveConsole,
    PlainConsole,
    ProgressLine,
    open_console,
)

from .samples import model


def live_console() -> tuple[LiveConsole, StringIO]:
    """Return a live console on a pretended terminal of 80 x 24."""
    stream = StringIO()
    environment = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    console = Console(
        file=stream, force_terminal=True, force_interactive=True, _environ=environment
    )
    return LiveConsole(console), stream


def test_live_console_starts_no_thread_and_keeps_standard_streams() -> None:
    """The supervisor forks while the console runs."""
    before = (threading.enumerate(), sys.stdout, sys.stderr)
    console, _ = live_console()
    console.start()
    console.refresh(model(4))
    assert (threading.enumerate(), sys.stdout, sys.stderr) == before
    console.stop()


def test_live_console_leaves_the_last_state_on_the_normal_screen() -> None:
    """Alternate screen off and cursor on, then the picture once more."""
    console, stream = live_console()
    console.start()
    assert "\x1b[?1049h" in stream.getvalue()
    console.refresh(model(1))
    console.refresh(model(4))
    console.stop()
    _, _, after = stream.getvalue().partition("\x1b[?1049l")
    assert "event 59 of a cluster of 4" in after
    assert "q leaves" not in after  # Nobody can do that any more.
    assert after.count("\n") == 23
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_live_console_stops_twice_and_unstarted_in_silence() -> None:
    """Clean-up paths meet."""
    console, stream = live_console()
    console.stop()
    assert stream.getvalue() == ""
    console.start()
    console.stop()
    length = len(stream.getvalue())
    console.stop()
    assert len(stream.getvalue()) == length


def test_live_console_skips_frames_while_the_terminal_takes_none() -> None:
    """A stopped terminal must not stop the supervisor."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "w", encoding="utf-8") as stream:
        console = LiveConsole(Console(file=stream, force_terminal=True, force_interactive=True))
        console.start()
        os.set_blocking(write_end, False)
        while select.select([], [write_end], [], 0)[1]:
            os.write(write_end, b" " * 4096)
        os.set_blocking(write_end, True)
        console.refresh(model(4))
        os.read(read_end, 1 << 20)
        console.stop()


def test_live_console_draws_on_a_part_of_a_terminal_that_claims_to_be_huge() -> None:
    stream = StringIO()
    environment = {"TERM": "xterm", "COLUMNS": "9000", "LINES": "900"}
    console = LiveConsole(BoundedConsole(file=stream, force_terminal=True, _environ=environment))
    console.start()
    started = len(stream.getvalue())
    console.refresh(model(4))
    picture = stream.getvalue()[started:]
    assert picture.count("\n") < ROWS_MAX
    assert max(map(cell_len, picture.splitlines())) < 2 * COLUMNS_MAX  # Colours take room, too.
    console.stop()


def test_live_console_outlives_its_terminal() -> None:
    """A closed ssh session ends the picture, not the node."""

    class GoneTerminal(StringIO):
        def write(self, text: str, /) -> int:
            raise OSError(5, "Input/output error")

    console = LiveConsole(Console(file=GoneTerminal(), force_terminal=True, force_interactive=True))
    console.start()
    console.refresh(model(1))
    console.stop()


def plain_console() -> tuple[PlainConsole, StringIO, Callable[[float], None]]:
    """Return a plain console, its output, and the setter of its clock."""
    now_s = [100.0]
    stream = StringIO()

    def set_clock(value_s: float) -> None:
        now_s[0] = value_s

    return PlainConsole(stream, lambda: now_s[0], lambda: "12:00:00"), stream, set_clock


def test_plain_event_is_one_line_flushed_at_once() -> None:
    """A log file shows it before the next crash."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "w", encoding="utf-8") as stream:
        console = PlainConsole(stream)
        console.start()
        console.event(Event("12:34:56", "WARNING", "n2 is suspect"))
        assert os.read(read_end, 100) == b"12:34:56 WARNING n2 is suspect\n"
        console.stop()


def test_a_printed_line_is_written_as_it_is_and_none_of_it_is_dropped() -> None:
    """A task's output has no level, and blanks may matter."""
    console, stream, _ = plain_console()
    console.print("n1:   indented\tby a task")
    console.print("x" * 2000)
    first, *pieces = stream.getvalue().splitlines()
    assert first == "n1:   indented\tby a task"
    assert "".join(pieces) == "x" * 2000


def test_plain_summary_is_printed_once_while_nothing_changes() -> None:
    """Silence means all as before."""
    console, stream, set_clock = plain_console()
    console.refresh(model(4))
    set_clock(1_000.0)
    console.refresh(model(4))
    assert stream.getvalue() == (
        "12:00:00 INFO 4 members alive; all 256 partitions are safe. "
        "110 acknowledged writes at risk. Tasks: 30 queued, 4 running, 12440 done.\n"
    )


def test_plain_summary_waits_ten_seconds_then_tells_the_newest() -> None:
    """The state in between is not news any more."""
    console, stream, set_clock = plain_console()
    for now_s, member_count in ((100.0, 1), (105.0, 2), (109.9, 3), (110.0, 4), (111.0, 5)):
        set_clock(now_s)
        console.refresh(model(member_count))
    heads = [line.split()[2:4] for line in stream.getvalue().splitlines()]
    assert heads == [["1", "member"], ["4", "members"]]


def test_plain_console_says_nothing_before_the_first_status() -> None:
    """Waiting is no news."""
    console, stream, _ = plain_console()
    console.refresh(ConsoleModel("a:1"))
    assert stream.getvalue() == ""


def test_plain_console_outlives_its_reader() -> None:
    """``grid up | head`` ends the output, not the node."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w", encoding="utf-8")
    console = PlainConsole(stream)
    console.event(Event("12:00:00", "INFO", "joined"))
    console.refresh(model(1))
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_console_without_a_terminal_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where FORCE_COLOR pretends, as on build machines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(open_console(StringIO()), PlainConsole)


@pytest.mark.parametrize(
    ("terminal", "kind"), [("xterm-256color", LiveConsole), ("dumb", PlainConsole)]
)
def test_console_on_a_terminal_is_live_unless_dumb(
    terminal: str, kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dumb terminal cannot move its cursor."""
    monkeypatch.setenv("TERM", terminal)
    master, slave = os.openpty()
    with os.fdopen(master, "rb", 0), os.fdopen(slave, "w", encoding="utf-8") as stream:
        assert isinstance(open_console(stream), kind)


def test_console_replaces_what_the_terminal_cannot_encode(tmp_path: Path) -> None:
    """A Latin-1 locale shows question marks and lives."""
    path = tmp_path / "log"
    with path.open("w", encoding="latin-1") as stream:
        assert isinstance(stream, TextIOWrapper)
        console = PlainConsole(stream)
        console.start()
        console.event(Event("12:00:00", "INFO", "読 joined"))
    assert path.read_bytes() == b"12:00:00 INFO ? joined\n"


def _fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    while select.select([], [pipe], [], 0)[1]:
        os.write(pipe, b" " * 4096)
    os.set_blocking(pipe, True)


def test_plain_console_drops_lines_that_nobody_reads_and_counts_them() -> None:
    """A reader that has stopped must not stop the supervisor."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "w", encoding="utf-8") as stream:
        console = PlainConsole(stream, wall_text=lambda: "12:00:01")
        _fill(write_end)
        for number in range(1000):
            console.event(Event("12:00:00", "INFO", f"line {number}"))
        os.read(read_end, 1 << 20)
        console.event(Event("12:00:01", "INFO", "read again"))
        lines = os.read(read_end, 1 << 16).decode().splitlines()
        assert lines == [
            "12:00:01 WARNING 1000 lines were dropped: nobody read this output",
            "12:00:01 INFO read again",
        ]


def test_plain_console_says_at_the_end_what_was_dropped() -> None:
    """Else nobody would know, for nothing follows."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "w", encoding="utf-8") as stream:
        console = PlainConsole(stream, wall_text=lambda: "12:00:01")
        _fill(write_end)
        console.print("last words")
        console.print("the very last")
        os.read(read_end, 1 << 20)
        console.stop()
        stream.close()
        text = b"12:00:01 WARNING 2 lines were dropped: nobody read this output\n"
        assert os.read(read_end, 1 << 16) == text


class Terminal(StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_changes_and_goes() -> None:
    """The answer that follows stands alone."""
    stream = Terminal()
    with ProgressLine(stream) as progress:
        progress.show("3 of 4")
        progress.show("3 of 4")
        progress.show("4 of\x1b[2J 4")
    assert stream.getvalue() == "\r\x1b[K3 of 4\r\x1b[K4 of [2J 4\r\x1b[K"


def test_no_progress_is_written_where_nobody_watches() -> None:
    """A log file keeps the answer only; and what had no progress needs no cleaning."""
    stream, terminal = StringIO(), Terminal()
    with ProgressLine(stream) as progress:
        progress.show("3 of 4")
    with ProgressLine(terminal):
        pass
    assert stream.getvalue() == terminal.getvalue() == ""


def test_progress_is_cut_to_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps could not be taken back."""
    monkeypatch.setenv("COLUMNS", "10")
    stream = Terminal()
    with ProgressLine(stream) as progress:
        progress.show("0123456789abcdef")
    assert stream.getvalue().startswith("\r\x1b[K012345678\r")
