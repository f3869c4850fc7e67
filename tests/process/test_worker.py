"""One task in a worker: every way it can end."""

from __future__ import annotations

import sys
import threading

import pytest

from grid.client.code.calls import PYTHON, dump_call, unpack
from grid.errors import ProtocolError, PythonVersionError, SerializationError
from grid.executor.effects import Finished
from grid.executor.messages import Outcome, WorkerTask
from grid.process.shipped_modules import ShippedModules
from grid.process.worker import run_task


def ran(payload: bytes, code: bytes = b"") -> tuple[Outcome, bytes]:
    return run_task(WorkerTask(1, code, payload), ShippedModules("n1"), "n1")


def raised_by(payload: bytes, code: bytes = b"") -> BaseException:
    outcome, result = ran(payload, code)
    assert outcome is Outcome.RAISED
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # Which one is up to the test.
        unpack(Finished(1, outcome, result, None), "n1")
    return caught.value


def test_a_task_s_value_comes_back():
    outcome, payload = ran(dump_call(pow, (2, 5), {}).payload)
    assert outcome is Outcome.RETURNED
    assert unpack(Finished(1, outcome, payload, None), "n1") == 32


def test_even_system_exit_is_only_an_exception_of_the_task():
    outcome, payload = ran(dump_call(sys.exit, (3,), {}).payload)
    assert outcome is Outcome.RAISED
    with pytest.raises(SystemExit) as raised:
        unpack(Finished(1, outcome, payload, None), "n1")
    assert raised.value.code == 3
    assert "raised on node n1" in raised.value.__notes__[0]


def test_a_value_that_cannot_be_sent_is_said_to_be_one():
    outcome, payload = ran(dump_call(threading.Lock, (), {}).payload)
    assert outcome is Outcome.RAISED
    with pytest.raises(SerializationError, match="cannot be sent"):
        unpack(Finished(1, outcome, payload, None), "n1")


def test_a_call_that_cannot_be_loaded_is_an_exception_too():
    outcome, _ = ran(PYTHON + b"no pickle")
    assert outcome is Outcome.RAISED


def test_call_of_another_python_is_not_loaded():
    error = raised_by(bytes((2, 7)) + b"no pickle")
    assert isinstance(error, PythonVersionError)
    assert "raised on node n1" in error.__notes__[0]


def test_call_whose_modules_did_not_come_is_not_loaded():
    assert isinstance(raised_by(PYTHON + b"no pickle", b"digest"), ProtocolError)
