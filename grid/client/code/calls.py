"""A function call and its outcome as bytes, between a submitter and a worker.

Runs in: clients and workers; the network processes in between never look inside.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from grid.client.code.bundle import Bundler
from grid.client.code.roots import Pickled, pickle_with_roots
from grid.errors import (
    PoisonTaskError,
    PythonVersionError,
    TaskError,
    TaskTimeoutError,
    ValueTooLargeError,
    WorkerLostError,
)
from grid.executor.bundles import Code
from grid.executor.effects import Finished
from grid.executor.messages import Outcome
from grid.executor.names import cleaned
from grid.types import Payload
from grid.wire.pickling import dump, load

TASK_BYTES_MAX = 64 * 1024 * 1024
"""Size of a pickled call, and of a pickled result: the same as a value's."""

TEXT_MAX = 65_536
"""Characters of what is told of a failure: an exception's text may be as long as its arguments."""

FUNCTIONS_KEPT = 16
"""Functions of `map` calls that a worker keeps loaded."""

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

PYTHON = bytes(sys.version_info[:2])
"""A pickled call begins with it: code of one minor version is not for another."""

_bundler = Bundler()


class PickledCall(NamedTuple):
    """A call as it travels.

    `code` is what it needs of modules, `function` what people see it called.
    """

    payload: bytes
    code: Code | None
    function: str = ""


def dump_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str = "",
) -> PickledCall:
    """Pickle a call; `name` is of the user's function, if `function` but calls that.

    Raises: SerializationError when the function, an argument or a module cannot travel.
    """
    payload, roots = pickle_with_roots((function, args, kwargs), PYTHON)
    return PickledCall(payload, _bundler.code_for(roots), name or name_of(function))


def name_of(function: object) -> str:
    """Return what to call a function where people watch; what has no name goes by its class."""
    try:
        while isinstance(function, functools.partial):
            function = function.func
        name = getattr(function, "__qualname__", None)
    except Exception:  # An object may make up its attributes, even its class, and fail.
        name = None
    return cleaned(name if type(name) is str else type(function).__qualname__)


def check_python(payload: Payload, node_name: str) -> None:
    """Refuse a call of another Python than this one. Raises: PythonVersionError."""
    theirs, ours = bytes(payload[: len(PYTHON)]), PYTHON
    if theirs != ours:
        raise PythonVersionError(
            f"the call comes from Python {'.'.join(map(str, theirs))}, and node {node_name} runs "
            f"Python {'.'.join(map(str, ours))}: the first two numbers must be the same"
        )


def load_call(payload: Payload) -> Call:
    """Undo `dump_call`, of the same Python."""
    call: Call = load(memoryview(payload)[len(PYTHON) :])
    return call


def pack_result(value: object) -> bytes:
    """Pickle what a task returned.

    Raises: SerializationError; ValueTooLargeError.
    """
    data = dump(value)
    if len(data) > TASK_BYTES_MAX:
        raise ValueTooLargeError(
            f"the result takes {len(data):,} bytes; at most {TASK_BYTES_MAX:,} are allowed: "
            "put it into a map and return its key"
        )
    return data


def pack_failure(error: BaseException, remote_traceback: str, node_name: str) -> bytes:
    """Pickle what a task raised, with the traceback as text and the node's name.

    An exception that cannot be pickled, or not be loaded again, or is larger than a result may be,
    travels as a TaskError with its text.
    """
    origin = _cut(f"raised on node {node_name}:\n{remote_traceback}")
    try:
        data = dump((error, origin))
        if len(data) > TASK_BYTES_MAX:
            raise ValueTooLargeError(f"the exception takes {len(data):,} bytes")
        loaded, _ = load(data)
        if not isinstance(loaded, BaseException):
            raise TypeError("the exception is something else once it is loaded")
    except BaseException:  # Even SystemExit: exceptions with own constructors do anything.
        return dump((TaskError(_described(error)), origin))
    return data


def _described(error: BaseException) -> str:
    try:
        return _cut(f"{type(error).__name__}: {error}")
    except Exception:  # Its own __str__ fails; the traceback in the note must do.
        return type(error).__name__


def _cut(text: str) -> str:
    """Leave out the middle of a text that is too long: of a traceback, both ends say most."""
    if len(text) <= TEXT_MAX:
        return text
    half = TEXT_MAX // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"


def unpack(finished: Finished, node_name: str) -> Any:
    """Return the task's value, or raise its exception with the remote traceback as a note.

    Raises: whatever the task raised; WorkerLostError, PoisonTaskError; TaskTimeoutError; TaskError.
    """
    payload = finished.payload
    match finished.outcome:
        case Outcome.RETURNED:
            return load(payload)
        case Outcome.RAISED:
            error, origin = load(payload)
            error.add_note(origin)
            raise error
        case Outcome.TIMED_OUT:
            raise TaskTimeoutError(
                f"the task ran longer than its timeout allows and was ended on {node_name}"
            )
        case Outcome.WORKER_DIED:
            evidence = bytes(payload).decode(errors="replace")
            if finished.deaths > 1:
                raise PoisonTaskError(
                    f"the task was given up after {finished.deaths} deaths under it: {evidence}"
                )
            raise WorkerLostError(f"the task died and may not run again: {evidence}")
        case Outcome.CODE_MISSING:
            raise TaskError(
                f"node {node_name} has dropped the task's modules each time before the task came: "
                "too many programs with modules of their own use it at the same time"
            )
    raise TaskError(f"the task ended as {finished.outcome.name}")


def run_chunk(function: Pickled, chunk: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call a function for each tuple of arguments. Runs in: worker."""
    called = _load_once(function.data)
    return [called(*args) for args in chunk]


def forget_functions() -> None:
    """Load functions of `map` calls anew: modules have changed. Runs in: worker."""
    _load_once.cache_clear()


@functools.lru_cache(maxsize=FUNCTIONS_KEPT)
def _load_once(function: bytes) -> Callable[..., Any]:
    """All chunks of one `map` bring the same function."""
    loaded: Callable[..., Any] = load(function)
    return loaded
