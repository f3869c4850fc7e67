"""What a person is told while a command searches."""

from __future__ import annotations

import dataclasses
import threading
from io import StringIO

import pytest

from grid.config import Config
from grid.console.patience import search_text, told_if_slow

DEADLINE_S = 60.0


class Terminal(StringIO):
    """A stream that a person watches; `has_text` is set by the first word."""

    def __init__(self) -> None:
        super().__init__()
        self.has_text = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        self.has_text.set()
        return written


def test_a_long_wait_is_told_and_the_line_taken_back() -> None:
    stream = Terminal()
    with told_if_slow("searching ...", stream, moment_s=0.0):
        assert stream.has_text.wait(DEADLINE_S)
    assert stream.getvalue() == "\r\x1b[Ksearching ...\r\x1b[K"


def test_the_line_goes_before_what_went_wrong_is_said() -> None:
    stream = Terminal()

    def search_in_vain() -> None:
        with told_if_slow("searching ...", stream, moment_s=0.0):
            assert stream.has_text.wait(DEADLINE_S)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised above.
        search_in_vain()
    assert stream.getvalue().endswith("\x1b[K")


def test_a_short_wait_is_not_worth_a_word_and_leaves_no_thread() -> None:
    stream = Terminal()
    with told_if_slow("searching ...", stream, moment_s=DEADLINE_S):
        pass
    assert stream.getvalue() == ""
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())


@pytest.mark.parametrize("stream", [StringIO(), None])
def test_nothing_is_written_where_nobody_watches(stream: StringIO | None) -> None:
    with told_if_slow("searching ...", stream, moment_s=0.0):
        pass
    assert stream is None or stream.getvalue() == ""


def test_it_says_what_is_looked_for_and_for_how_long() -> None:
    config = Config()
    client = dataclasses.replace(config.client, connect_deadline_s=2.5)
    assert search_text(config, None) == (
        "searching for a node of the cluster 'grid' ... (10 s at most)"
    )
    assert search_text(dataclasses.replace(config, client=client), "pc2:7701") == (
        "waiting for an answer of pc2:7701 ... (2.5 s at most)"
    )
