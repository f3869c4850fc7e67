"""Lines of the children, with the level in front taken off and nothing else understood."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from grid.process.child import EVENT_MARK
from grid.supervisor.log_relay import LEVELS, LINE_BYTES_MAX, PRINTED, LogRelay
from grid.wire.family import LogText


@pytest.fixture(name="relay")
def fixture_relay() -> Iterator[LogRelay]:
    relay = LogRelay()
    yield relay
    relay.close()


def test_nothing_written_means_no_lines(relay: LogRelay) -> None:
    assert relay.read() == []


@pytest.mark.parametrize("level", LEVELS)
def test_level_in_front_is_taken_off(relay: LogRelay, level: str) -> None:
    os.write(relay.write_fd, f"{level} the shelf is full\n".encode())
    assert relay.read() == [LogText(level, "the shelf is full")]
    assert relay.read() == []


@pytest.mark.parametrize("level", LEVELS)
def test_line_that_an_event_says_better_is_known_by_its_mark(relay: LogRelay, level: str) -> None:
    os.write(relay.write_fd, f"{level}{EVENT_MARK} joined member=ann\n".encode())
    assert relay.read() == [LogText(level, "joined member=ann", has_event=True)]


@pytest.mark.parametrize(
    "line",
    [
        "hello from a task",
        "ERRORS happen",
        "error in lower case",
        " INFO indented",
        "-",
        "* starred",
        "NEWS* starred",
    ],
)
def test_line_without_a_level_was_printed(relay: LogRelay, line: str) -> None:
    os.write(relay.write_fd, line.encode() + b"\n")
    assert relay.read() == [LogText(PRINTED, line)]


def test_empty_lines_are_left_out(relay: LogRelay) -> None:
    os.write(relay.write_fd, b"\n\nINFO one\n\nWARNING two\n\n")
    assert relay.read() == [LogText("INFO", "one"), LogText("WARNING", "two")]


def test_line_is_given_out_when_it_is_complete(relay: LogRelay) -> None:
    seen = []
    for piece in (b"WAR", b"NING Jos", b"\xc3", b"\xa9 is h", b"ere\nINFO nex", b"t\n"):
        os.write(relay.write_fd, piece)
        seen.append(relay.read())
    assert seen == [[], [], [], [], [LogText("WARNING", "José is here")], [LogText("INFO", "next")]]


def test_line_that_nobody_completes_is_given_out_in_the_end(relay: LogRelay) -> None:
    os.write(relay.write_fd, b"INFO one\nand then")
    assert relay.read() == [LogText("INFO", "one")]
    assert relay.rest() == [LogText(PRINTED, "and then")]
    assert relay.rest() == []


def test_bytes_that_are_no_text_do_no_harm(relay: LogRelay) -> None:
    os.write(relay.write_fd, b"INFO \xff\xfe\x00 raw\n")
    assert relay.read() == [LogText("INFO", "\ufffd\ufffd\x00 raw")]


def test_line_of_the_longest_length_comes_whole(relay: LogRelay) -> None:
    line = "INFO " + "x" * (LINE_BYTES_MAX - 5)
    os.write(relay.write_fd, line.encode() + b"\n")
    assert relay.read() == [LogText("INFO", line[5:])]


def test_no_line_is_longer_than_allowed_and_none_is_awaited_for_ever(relay: LogRelay) -> None:
    os.write(relay.write_fd, b"x" * 20_000)
    lines = relay.read()
    assert lines
    os.write(relay.write_fd, b"y" * 20_000 + b"\nINFO next\n")
    lines += relay.read()
    assert all(len(line.text) <= LINE_BYTES_MAX for line in lines)
    assert lines[-1] == LogText("INFO", "next")


def test_more_than_one_read_can_take_is_read_in_turns(relay: LogRelay) -> None:
    count = 0
    for _ in range(20):
        os.write(relay.write_fd, b"INFO a line of forty bytes altogether...\n" * 100)
        count += len(relay.read())
    assert count == 2_000


def test_a_long_line_is_cut_and_nothing_of_it_is_dropped():
    relay = LogRelay()
    try:
        os.write(relay.write_fd, b"INFO " + b"a" * 5000 + b"b" * 5000 + b"\n")
        pieces = [line.text for line in relay.read()]
        assert "".join(pieces) == "a" * 5000 + "b" * 5000
    finally:
        relay.close()
