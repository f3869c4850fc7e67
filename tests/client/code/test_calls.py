"""Calls, values and exceptions between a submitter and a worker."""

from __future__ import annotations

import functools
import math
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from grid.client.code.bundle import decode_bundle
from grid.client.code.calls import (
    PYTHON,
    TASK_BYTES_MAX,
    TEXT_MAX,
    check_python,
    dump_call,
    forget_functions,
    load_call,
    name_of,
    pack_failure,
    pack_result,
    run_chunk,
    unpack,
)
from grid.client.code.roots import Pickled, pickle_once
from grid.errors import (
    PoisonTaskError,
    PythonVersionError,
    SerializationError,
    TaskError,
    TaskTimeoutError,
    WorkerLostError,
)
from grid.executor.effects import Finished
from grid.executor.messages import Outcome

TRACE = "Traceback (most recent call last):\n  ...\nValueError: no such book\n"


class OwnConstructorError(Exception):
    """Pickles well and does not load: its constructor wants two arguments."""

    def __init__(self, shelf: str, number: int) -> None:
        super().__init__(f"{shelf} {number}")


class LockedError(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("still locked")
        self.lock = threading.Lock()


def over(outcome: Outcome, payload: bytes, deaths: int = 0) -> Finished:
    return Finished(1, outcome, payload, None, deaths)


def raised_by(payload: bytes) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # Which one is up to the test.
        unpack(over(Outcome.RAISED, payload), "library-1")
    return caught.value


def test_call_comes_back_whole() -> None:
    function, args, kwargs = load_call(dump_call(divmod, (7, 2), {"key": [1, (2,)]}).payload)
    assert (function, args, kwargs) == (divmod, (7, 2), {"key": [1, (2,)]})


def test_lambda_with_a_closure_can_be_called_there() -> None:
    factor = 6
    function, args, kwargs = load_call(
        dump_call(lambda x, *, y: x * y * factor, (7,), {"y": 2}).payload
    )
    assert function(*args, **kwargs) == 84


class Nameless:
    """An instance can be called, and has no name."""

    def __call__(self) -> None:
        """Do nothing."""

    def method(self) -> None:
        """Do nothing."""


class Unwilling(Nameless):
    """Makes up its attributes, and fails."""

    def __getattr__(self, name: str) -> str:
        raise RuntimeError("no attributes today")


def a_function_with_a_misleading_name() -> None:
    """Has another name than it is defined with."""


a_function_with_a_misleading_name.__qualname__ = "\x1b[31m[bold]crunch"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "len"),
        (math.hypot, "hypot"),
        (Nameless, "Nameless"),
        (Nameless().method, "Nameless.method"),
        (Nameless(), "Nameless"),
        (functools.partial(functools.partial(divmod, 7), 2), "divmod"),
        (a_function_with_a_misleading_name, "?[31m[bold]crunch"),
    ],
)
def test_call_is_named_after_its_function(function: Callable[..., Any], name: str) -> None:
    assert name_of(function) == name


class Masked(Nameless):
    """Makes up its class, and fails."""

    @property  # type: ignore[misc]  # That is the point.
    def __class__(self) -> type[Any]:
        raise RuntimeError("no class today")


def test_object_that_makes_up_its_attributes_and_fails_goes_by_its_class() -> None:
    assert name_of(Unwilling()) == "Unwilling"
    assert name_of(Masked()) == "Masked"


def test_name_of_a_call_is_that_of_the_function_or_what_it_is_said_to_be() -> None:
    assert dump_call(divmod, (7, 2), {}).function == "divmod"
    assert dump_call(run_chunk, (), {}, "crunch").function == "crunch"


@pytest.mark.parametrize("args", [(threading.Lock(),), ([threading.Lock()],)])
def test_argument_that_cannot_travel_is_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises(SerializationError, match="cannot be sent"):
        dump_call(len, args, {})


@pytest.mark.parametrize("value", [None, 0, (1, 2), {"a": {1, 2}}, ValueError("a value, too")])
def test_returned_value_is_unpacked(value: object) -> None:
    result = unpack(over(Outcome.RETURNED, pack_result(value)), "library-1")
    assert type(result) is type(value)
    assert repr(result) == repr(value)


def test_result_that_cannot_travel_is_refused() -> None:
    with pytest.raises(SerializationError):
        pack_result(threading.Lock())


def test_exception_arrives_unwrapped_with_its_origin_as_a_note() -> None:
    error = raised_by(pack_failure(KeyError("José"), TRACE, "library-2"))
    assert type(error) is KeyError
    assert error.args == ("José",)
    assert "raised on node library-2:" in error.__notes__[0]
    assert TRACE in "".join(traceback.format_exception(error))


def test_exit_of_a_task_arrives_as_what_it_is() -> None:
    error = raised_by(pack_failure(SystemExit(3), TRACE, "library-2"))
    assert isinstance(error, SystemExit)
    assert error.code == 3


def test_notes_of_the_task_itself_are_kept() -> None:
    original = ValueError("no such book")
    original.add_note("while looking on the upper shelf")
    error = raised_by(pack_failure(original, TRACE, "library-2"))
    assert error.__notes__[0] == "while looking on the upper shelf"
    assert TRACE in error.__notes__[1]


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (OwnConstructorError("upper", 3), "OwnConstructorError: upper 3"),
        (LockedError(), "LockedError: still locked"),
    ],
)
def test_exception_that_cannot_travel_becomes_a_task_error(original: Exception, text: str) -> None:
    error = raised_by(pack_failure(original, TRACE, "library-2"))
    assert type(error) is TaskError
    assert str(error) == text
    assert "raised on node library-2:" in error.__notes__[0]


def test_exception_larger_than_a_result_may_be_becomes_a_task_error() -> None:
    error = raised_by(pack_failure(ValueError(bytes(TASK_BYTES_MAX)), TRACE, "library-2"))
    assert type(error) is TaskError
    assert str(error).startswith("ValueError: b'")
    assert TRACE in error.__notes__[0]


def test_text_of_an_exception_is_cut_in_its_middle() -> None:
    trace = "Traceback (most recent call last):\n" + "x" * TASK_BYTES_MAX + "\nthe end\n"
    data = pack_failure(LockedError(), trace, "library-2")
    assert len(data) < 2 * TEXT_MAX
    note = raised_by(data).__notes__[0]
    assert note.startswith("raised on node library-2:\nTraceback")
    assert " characters left out " in note
    assert note.endswith("the end\n")


def test_death_that_may_not_be_repeated_is_told_with_its_evidence() -> None:
    with pytest.raises(WorkerLostError, match="may not run again: killed by SIGSEGV") as caught:
        unpack(over(Outcome.WORKER_DIED, b"killed by SIGSEGV", deaths=1), "library-1")
    assert not isinstance(caught.value, PoisonTaskError)


def test_task_under_which_all_workers_died_is_poison() -> None:
    with pytest.raises(PoisonTaskError, match="given up after 3 deaths under it: one; two; three"):
        unpack(over(Outcome.WORKER_DIED, b"one; two; three", deaths=3), "library-1")


def test_task_that_ran_too_long_is_a_timeout() -> None:
    with pytest.raises(TaskTimeoutError, match="was ended on library-1"):
        unpack(over(Outcome.TIMED_OUT, b""), "library-1")


def test_function_of_many_chunks_is_loaded_once() -> None:
    function = pickle_once(lambda *args, _loads=[]: _loads.append(args) or len(_loads))
    assert run_chunk(function, [(1,), (2,)]) == [1, 2]
    assert run_chunk(Pickled(bytes(bytearray(function.data))), [(3,)]) == [3]
    forget_functions()
    assert run_chunk(function, [(4,)]) == [1]


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.REFUSED_QUEUE_FULL])
def test_every_other_end_is_a_task_error_that_names_it(outcome: Outcome) -> None:
    with pytest.raises(TaskError, match=f"the task ended as {outcome.name}"):
        unpack(over(outcome, b""), "library-1")


def test_an_exception_that_can_neither_be_pickled_nor_described_still_arrives():
    class BadError(Exception):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def __str__(self) -> str:
            raise RuntimeError("no str")

    with pytest.raises(TaskError, match="BadError"):
        unpack(over(Outcome.RAISED, pack_failure(BadError(), "traceback", "n1")), "n1")


def test_call_of_another_minor_version_of_python_is_refused_before_it_is_loaded() -> None:
    payload = dump_call(pow, (2, 5), {}).payload
    check_python(payload, "library-1")
    with pytest.raises(PythonVersionError, match=r"from Python 3\.200, and node library-1 runs"):
        check_python(bytes((3, 200)) + payload[len(PYTHON) :], "library-1")


def test_task_whose_modules_are_dropped_again_and_again_is_told_so() -> None:
    with pytest.raises(TaskError, match="node library-1 has dropped the task's modules"):
        unpack(over(Outcome.CODE_MISSING, b""), "library-1")


def test_call_brings_the_modules_of_its_arguments_and_of_its_map() -> None:
    for value in (OwnConstructorError, pickle_once(OwnConstructorError)):
        code = dump_call(len, ([value],), {}).code
        assert code is not None
        names = [module.name for module in decode_bundle(code.bundle).modules]
        assert __name__ in names
    assert dump_call(len, ([],), {}).code is None
