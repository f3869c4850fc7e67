"""Stop signals as something a select loop can wait for; in an interpreter of its own."""

from __future__ import annotations

from .fresh import run_fresh

PREAMBLE = """
import os, select, signal
from grid.supervisor.signals import STOP_SIGNALS, SignalQueue

def raise_and_take(queue, *numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
    assert select.select([queue.reader], [], [], 30)[0]
    return queue.take()

queue = SignalQueue()
"""


def test_no_signal_means_none_taken() -> None:
    run_fresh(PREAMBLE + "assert queue.take() == []\nassert STOP_SIGNALS\n")


def test_every_stop_signal_is_taken_once_and_ends_nothing() -> None:
    script = """
for number in STOP_SIGNALS:
    assert raise_and_take(queue, number) == [number]
    assert queue.take() == []
"""
    run_fresh(PREAMBLE + script)


def test_signals_are_taken_in_their_order() -> None:
    script = """
taken = raise_and_take(queue, signal.SIGTERM, signal.SIGINT, signal.SIGINT)
assert taken == [signal.SIGTERM, signal.SIGINT, signal.SIGINT], taken
assert all(type(number) is signal.Signals for number in taken)
"""
    run_fresh(PREAMBLE + script)


def test_other_signals_wake_the_loop_and_are_not_taken() -> None:
    script = """
signal.signal(signal.SIGUSR1, lambda number, frame: None)
assert raise_and_take(queue, signal.SIGUSR1) == []
assert raise_and_take(queue, signal.SIGUSR1, signal.SIGHUP) == [signal.SIGHUP]
"""
    run_fresh(PREAMBLE + script)


def test_closing_puts_the_former_handlers_back() -> None:
    script = """
queue.close()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == -1
assert queue.reader.fileno() == -1
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted again")
"""
    assert run_fresh(PREAMBLE + script) == "interrupted again\n"


def test_flood_of_signals_does_not_block() -> None:
    script = """
for _ in range(20_000):
    os.kill(os.getpid(), signal.SIGTERM)
assert set(queue.take()) == {signal.SIGTERM}
"""
    run_fresh(PREAMBLE + script)
