"""`grid.current()`: the client of code that runs inside a task, on its own node's unix socket.

Runs in: worker processes, which `set_local_port` has told their node's port.
"""

from __future__ import annotations

from grid.client.options import ClientOptions
from grid.client.session import Grid
from grid.errors import GridError

_local: tuple[int, str] | None = None
_current: Grid | None = None


def set_local_node(port: int, cluster: str) -> None:
    """Tell where this worker's node answers."""
    global _local
    _local = (port, cluster)


def current() -> Grid:
    """Return this task's client, connected to the node that runs it.

    Raises: GridError outside a task.
    """
    global _current
    if _local is None:
        raise GridError("grid.current() works inside a task only; use grid.connect() elsewhere")
    if _current is None:
        port, cluster = _local
        _current = Grid([port], None, cluster, ClientOptions())
    return _current
