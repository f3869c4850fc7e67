"""Any Python object to bytes and back: pickle 5 through cloudpickle.

Functions and classes of ``__main__``, lambdas and what is defined in functions travel by value.
So does the main module under the name that `multiprocessing` gives it in a process it has spawned.

Not here: what goes without a pickle (``values.py``), calls and results (``client/code/calls.py``).

Departure: cloudpickle replaces the file name of code that travels by value, so that equal
functions make equal pickles wherever they are defined. Here it stays: a traceback from another
machine shall say where to look.

Loading executes what the bytes say: only bytes from an authenticated connection may come here.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar

import cloudpickle

from grid.errors import SerializationError

_NAMELESS = "<dynamic-code>"
"""What cloudpickle 3.1.3 and later make of each file name."""

_reduce_code: Callable[[CodeType], tuple[Any, ...]] = cloudpickle.Pickler.dispatch_table[CodeType]


def _reduce_code_with_its_file(code: CodeType) -> tuple[Any, ...]:
    kind, arguments = _reduce_code(code)
    file = code.co_filename
    return kind, tuple(file if value == _NAMELESS else value for value in arguments)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle ships no types.
    """cloudpickle's, with the file names of code."""

    dispatch_table: ClassVar = ChainMap(
        {CodeType: _reduce_code_with_its_file}, cloudpickle.Pickler.dispatch_table
    )


def dump(value: object) -> bytes:
    """Pickle any Python object.

    Plain pickle is not tried first: it would store a class of ``__main__`` as a name that no
    other process has, and succeed.

    Raises: SerializationError.
    """
    file = io.BytesIO()
    dump_with(Pickler(file, protocol=5), value)
    return file.getvalue()


def dump_with(pickler: Pickler, value: object) -> None:
    """Pickle to wherever the pickler writes. Raises: SerializationError."""
    program = sys.modules.get("__mp_main__")
    if program is not None:  # Maybe only now: grid may be loaded before the program.
        cloudpickle.register_pickle_by_value(program)
    try:
        pickler.dump(value)
    except Exception as error:  # Whatever an object's own __reduce__ raises.
        raise SerializationError(f"a {type(value).__name__} cannot be sent: {error}") from error


def load(data: bytes | memoryview) -> Any:
    """Undo `dump`. Raises: whatever the classes in it raise."""
    return pickle.loads(data)
