"""CPython's own tests of executors, where the interpreter brings them (Debian's often does not)."""

from __future__ import annotations

import importlib
import unittest
from collections.abc import Iterator

import pytest

from grid.client.session import Grid
from grid.client.tasks.executor import GridExecutor

HOMES = ("test.test_concurrent_futures.executor", "test.test_concurrent_futures")
"""Of the class `ExecutorTest`: from 3.12 on, and before."""

NOT_OURS = ("test_max_workers_negative", "test_max_workers_too_large")
"""About arguments of the standard library's constructors."""


def _suite() -> type | None:
    for home in HOMES:
        try:
            found: type | None = getattr(importlib.import_module(home), "ExecutorTest", None)
        except ImportError:
            continue
        if found is not None:
            return found
    return None


SUITE = _suite()
NAMES = [name for name in dir(SUITE) if name.startswith("test_") and name not in NOT_OURS]


@pytest.fixture(name="pool")
def fixture_pool(client: Grid) -> Iterator[GridExecutor]:
    with client.executor() as executor:
        yield executor


@pytest.mark.skipif(SUITE is None, reason="this Python brings no tests of concurrent.futures")
@pytest.mark.parametrize("name", NAMES or ["none"])
def test_executor_passes_what_cpython_asks_of_one(name: str, pool: GridExecutor) -> None:
    assert SUITE is not None
    kind = type("GridExecutorTest", (SUITE, unittest.TestCase), {"worker_count": 2})
    case = kind(name)
    case.executor = pool
    case.executor_type = GridExecutor
    outcome = case.run(unittest.TestResult())
    assert outcome.wasSuccessful(), [text for _, text in outcome.errors + outcome.failures]
