"""What the calls of one client that run at the data have in common.

Not here: the calls (``applies.py``, ``reducing.py``), who makes this (``at_data.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from grid.client.processing.turns import Turns
from grid.client.requests.core import Core
from grid.client.tasks.futures import TaskFuture
from grid.storage.options import StorageOptions

T = TypeVar("T")

KILL_AFTER_S = 1.0
"""A task that is so much too late ends with its worker."""

TIMEOUT_S_MAX = 30 * 86_400.0


class Tasks(Protocol):
    """What is needed of an executor."""

    @property
    def retried_count(self) -> int:
        """How often a task was sent again because its worker or node died."""
        ...

    def submit_near(
        self, partition_id: int, fn: Callable[..., T], /, *args: Any, timeout: float, name: str
    ) -> TaskFuture[T]:
        """Run where this partition lives, if a worker is free there, else elsewhere."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """Of one client."""

    core: Core
    limits: StorageOptions
    tasks: Tasks
    turns: Turns
    client_id: bytes
    """In whose name applies write: not the client's own, so their numbers are their own, too."""


def check_timeout(timeout_s: float | None) -> None:
    """Raise ValueError for a time that a call cannot take."""
    if timeout_s is not None and not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise ValueError("timeout must be more than 0 seconds and at most 30 days")
