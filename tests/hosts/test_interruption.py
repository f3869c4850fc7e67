"""Signals that end a program as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from grid.hosts.interruption import ENDS, ended_as_by_ctrl_c


@pytest.fixture(params=ENDS, autouse=True)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    former = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, former)


def test_signal_is_an_interruption_within_the_block_only(number: signal.Signals):
    seen: list[int] = []
    signal.signal(number, lambda seen_number, _: seen.append(seen_number))
    with pytest.raises(KeyboardInterrupt), ended_as_by_ctrl_c():
        signal.raise_signal(number)
    signal.raise_signal(number)
    assert seen == [number]


def test_signal_that_is_ignored_stays_so(number: signal.Signals):
    signal.signal(number, signal.SIG_IGN)
    with ended_as_by_ctrl_c():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_IGN
