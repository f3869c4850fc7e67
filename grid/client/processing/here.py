"""How a task that a map has sent reaches its own node: by the shell of `grid.current()`.

Apart from ``client/current.py``, for maps name the functions that they send, and that module knows
maps.

Runs in: worker processes, which ``client/current.py`` has told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from grid.client.requests.core import Core
from grid.client.requests.steps import Operation
from grid.errors import GridError

T = TypeVar("T")


class Shell(Protocol):
    """Runs operations, as `BlockingShell` does."""

    core: Core

    def run(self, operation: Operation[T]) -> T:
        """Carry out an operation."""
        ...


_shell: Callable[[], Shell] | None = None


def set_shell(shell: Callable[[], Shell]) -> None:
    """Tell how this process reaches its node."""
    global _shell
    _shell = shell


def shell_here() -> Shell:
    """Return the shell of the task that runs.

    Raises: GridError outside a task.
    """
    if _shell is None:
        raise GridError("this runs inside a task only")
    return _shell()
