"""`grid.current()`: the client of code that runs inside a task, on its own node's unix socket.

Runs in: worker processes, which `set_local_node` has told where their node answers.
"""

from __future__ import annotations

from grid.client.options import ClientOptions
from grid.client.processing.here import set_shell
from grid.client.session import Grid
from grid.client.tasks.waiting import Waiting
from grid.errors import GridError
from grid.wire.security import ClusterKeys

_local: tuple[int, str, str] | None = None
_keys: ClusterKeys | None = None
_waiting: Waiting | None = None
_current: Grid | None = None


def set_local_node(
    port: int,
    cluster: str,
    name: str,
    keys: ClusterKeys | None = None,
    waiting: Waiting | None = None,
) -> None:
    """Tell where this worker's node answers and what it is called.

    `keys` are for entries that live on other machines: those answer to the secret alone.
    `waiting` is told whether a task waits for tasks of its own.
    """
    global _local, _keys, _waiting
    _local, _keys, _waiting = (port, cluster, name), keys, waiting
    set_shell(lambda: current()._shell)


def current_node() -> str:
    """Return the name of the node that runs this task.

    Raises: GridError outside a task.
    """
    return _here()[2]


def current() -> Grid:
    """Return this task's client, connected to the node that runs it.

    Raises: GridError outside a task.
    """
    global _current
    port, cluster, _ = _here()
    if _current is None or _current.is_closed:  # A task may have used it by ``with``.
        _current = Grid([port], _keys, cluster, ClientOptions(), waiting=_waiting)
    return _current


def _here() -> tuple[int, str, str]:
    if _local is None:
        raise GridError("grid.current() works inside a task only; use grid.connect() elsewhere")
    return _local
