"""One task in a worker: every way it can end."""

from __future__ import annotations

import sys
import threading

import pytest

from grid.client.calls import dump_call, unpack
from grid.errors import SerializationError
from grid.executor.messages import Outcome
from grid.executor.submissions import Finished
from grid.process.worker import run_task


def test_a_task_s_value_comes_back():
    outcome, payload = run_task(dump_call(pow, (2, 5), {}), "n1")
    assert outcome is Outcome.RETURNED
    assert unpack(Finished(1, outcome, payload, None), "n1") == 32


def test_even_system_exit_is_only_an_exception_of_the_task():
    outcome, payload = run_task(dump_call(sys.exit, (3,), {}), "n1")
    assert outcome is Outcome.RAISED
    with pytest.raises(SystemExit) as raised:
        unpack(Finished(1, outcome, payload, None), "n1")
    assert raised.value.code == 3
    assert "raised on node n1" in raised.value.__notes__[0]


def test_a_value_that_cannot_be_sent_is_said_to_be_one():
    outcome, payload = run_task(dump_call(threading.Lock, (), {}), "n1")
    assert outcome is Outcome.RAISED
    with pytest.raises(SerializationError, match="cannot be sent"):
        unpack(Finished(1, outcome, payload, None), "n1")


def test_a_call_that_cannot_be_loaded_is_an_exception_too():
    outcome, _ = run_task(b"no pickle", "n1")
    assert outcome is Outcome.RAISED
