"""Keys come one by one while a console is up, and the terminal is afterwards as it was."""

from __future__ import annotations

import os
import select
import termios
from collections.abc import Iterator
from io import StringIO
from typing import NamedTuple

import pytest

from grid.console.keyboard import Keyboard, open_keyboard

LOCAL_FLAGS = 3


class Terminal(NamedTuple):
    """Both ends of a pseudo-terminal: where a person types, and where the program reads."""

    person: int
    program: int


@pytest.fixture(name="terminal")
def fixture_terminal() -> Iterator[Terminal]:
    ends = Terminal(*os.openpty())
    yield ends
    for fd in ends:
        os.close(fd)


def is_ready(keys: Keyboard) -> bool:
    return bool(select.select([keys], [], [], 0)[0])


def type_in(terminal: Terminal, text: bytes, keys: Keyboard) -> None:
    os.write(terminal.person, text)
    assert select.select([keys], [], [], 60)[0], "what was typed has not arrived"


@pytest.mark.parametrize(
    ("typed", "asks"), [(b"q", True), (b"Q", True), (b"xyq\x1b[A", True), (b"x \r\x1b[A", False)]
)
def test_only_q_asks_to_leave(terminal: Terminal, typed: bytes, asks: bool) -> None:
    keys = Keyboard(terminal.program)
    keys.start()
    type_in(terminal, typed, keys)
    assert keys.wants_stop() == asks
    assert not is_ready(keys)
    assert not keys.wants_stop()


def test_modes_are_taken_kept_and_given_back(terminal: Terminal) -> None:
    former = termios.tcgetattr(terminal.program)
    keys = Keyboard(terminal.program)
    keys.start()
    taken = termios.tcgetattr(terminal.program)
    assert not taken[LOCAL_FLAGS] & (termios.ICANON | termios.ECHO)
    assert taken[LOCAL_FLAGS] & termios.ISIG  # Ctrl-C stays what it is.
    termios.tcsetattr(terminal.program, termios.TCSANOW, former)  # As a shell does.
    keys.keep()
    assert termios.tcgetattr(terminal.program) == taken
    for _ in range(2):
        keys.stop()
        assert termios.tcgetattr(terminal.program) == former


def test_terminal_that_has_gone_is_no_error(terminal: Terminal) -> None:
    program = os.dup(terminal.program)
    keys = Keyboard(program)
    keys.start()
    os.close(program)
    keys.keep()
    assert not keys.wants_stop()
    keys.stop()


def test_input_of_somebody_else_is_left_alone_and_wakes_nobody(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process in the background that read it would be stopped by the kernel."""
    former = termios.tcgetattr(terminal.program)
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
    keys = Keyboard(terminal.program)
    keys.start()
    assert termios.tcgetattr(terminal.program) == former
    type_in(terminal, b"q\n", keys)
    assert not keys.wants_stop()
    assert not is_ready(keys)
    assert os.read(terminal.program, 10) == b"q\n"


def test_what_is_no_terminal_has_no_keys() -> None:
    closed = StringIO()
    closed.close()
    for stream in (None, StringIO(), closed):
        assert open_keyboard(stream) is None
    with open(os.devnull) as nothing:
        assert open_keyboard(nothing) is None
