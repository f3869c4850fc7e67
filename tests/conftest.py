"""What holds for all tests."""

import gc
import signal

ALLOCATIONS = 50_000
"""Between two visits of the collector; a simulation makes many short-lived objects, few cycles."""


def pytest_configure() -> None:
    """A suite in the background (``nohup``, ``&``) ignores what ends a program; what it starts
    would inherit that, and its tests of Ctrl-C would fail.
    """
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay: the collector need not visit them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS)
