"""grid: a distributed in-memory data grid in pure Python.

    with grid.connect() as g:          # or grid.local(nodes=4)
        users = g.map("users")         # a dict across machines
        users["ann"] = {"age": 41}
        with g.executor() as pool:     # a concurrent.futures.Executor across machines
            print(sum(pool.map(pow, range(10), [2] * 10)))

Public names only; the map of the code is ``ARCHITECTURE.md``.
"""

from __future__ import annotations

from grid.api import connect, local
from grid.client.current import current
from grid.client.executor import GridExecutor
from grid.client.map import Map
from grid.client.session import Grid
from grid.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    GridError,
    KeyTooLargeError,
    OperationError,
    OperationTimeoutError,
    PartitionLostError,
    SerializationError,
    TaskError,
    TaskQueueFullError,
    ValueTooLargeError,
    WorkerLostError,
)

__all__ = [
    "AuthenticationError",
    "ConfigError",
    "ConnectError",
    "Grid",
    "GridError",
    "GridExecutor",
    "KeyTooLargeError",
    "Map",
    "OperationError",
    "OperationTimeoutError",
    "PartitionLostError",
    "SerializationError",
    "TaskError",
    "TaskQueueFullError",
    "ValueTooLargeError",
    "WorkerLostError",
    "connect",
    "current",
    "local",
]
