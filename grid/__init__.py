"""grid: a distributed in-memory data grid in pure Python.

    with grid.connect() as g:          # or grid.local(nodes=4)
        users = g.map("users")         # a dict across machines
        users["ann"] = {"age": 41}
        with g.executor() as pool:     # a concurrent.futures.Executor across machines
            print(sum(pool.map(pow, range(10), [2] * 10)))

Public names only; the map of the code is ``ARCHITECTURE.md``. Each is loaded when it is first
used: ``python -m grid up`` passes here too, and a node starts sooner without the client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid.api import aconnect, connect, local
    from grid.client.async_map import AsyncMap
    from grid.client.async_session import AsyncGrid
    from grid.client.current import current
    from grid.client.entries.tokens import WriteToken
    from grid.client.map import Map
    from grid.client.processing.entry_processing import REMOVE
    from grid.client.session import Grid
    from grid.client.tasks.executor import GridExecutor
    from grid.errors import (
        AuthenticationError,
        ClosedError,
        ConfigError,
        ConnectError,
        GridError,
        KeyTooLargeError,
        MissingPackageError,
        NotEnoughNodesError,
        OperationError,
        OperationTimeoutError,
        PartitionLostError,
        PoisonTaskError,
        PythonVersionError,
        SerializationError,
        TaskError,
        TaskQueueFullError,
        TaskTimeoutError,
        ValueTooLargeError,
        WorkerLostError,
    )
    from grid.wire.control import Event

_HOMES = {
    "grid.api": (
        "aconnect",
        "connect",
        "local",
    ),
    "grid.client.async_map": ("AsyncMap",),
    "grid.client.async_session": ("AsyncGrid",),
    "grid.client.current": ("current",),
    "grid.client.processing.entry_processing": ("REMOVE",),
    "grid.client.tasks.executor": ("GridExecutor",),
    "grid.client.map": ("Map",),
    "grid.client.session": ("Grid",),
    "grid.client.entries.tokens": ("WriteToken",),
    "grid.wire.control": ("Event",),
    "grid.errors": (
        "AuthenticationError",
        "ClosedError",
        "ConfigError",
        "ConnectError",
        "GridError",
        "KeyTooLargeError",
        "MissingPackageError",
        "NotEnoughNodesError",
        "OperationError",
        "OperationTimeoutError",
        "PartitionLostError",
        "PoisonTaskError",
        "PythonVersionError",
        "SerializationError",
        "TaskError",
        "TaskQueueFullError",
        "TaskTimeoutError",
        "ValueTooLargeError",
        "WorkerLostError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "REMOVE",
    "AsyncGrid",
    "AsyncMap",
    "AuthenticationError",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "Event",
    "Grid",
    "GridError",
    "GridExecutor",
    "KeyTooLargeError",
    "Map",
    "MissingPackageError",
    "NotEnoughNodesError",
    "OperationError",
    "OperationTimeoutError",
    "PartitionLostError",
    "PoisonTaskError",
    "PythonVersionError",
    "SerializationError",
    "TaskError",
    "TaskQueueFullError",
    "TaskTimeoutError",
    "ValueTooLargeError",
    "WorkerLostError",
    "WriteToken",
    "aconnect",
    "connect",
    "current",
    "local",
]


def __getattr__(name: str) -> Any:
    """Load a public name (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
