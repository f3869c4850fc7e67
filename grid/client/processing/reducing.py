"""`reduce`: each partition is read and combined at the data, and what comes of them in the caller.

A task has some partitions of one node. It reads each by a scan of its own, page by page, which
sees each entry once, also when the partition moves (``entries/scanning.py``), and answers for whole
partitions only; those that it does not get to in its time it gives back. A task that dies is run
again: it only reads. So each entry counts once.

Not here: what `apply` does (``applies.py``, ``entry_processing.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from grid.client.code.roots import Pickled
from grid.client.entries.entry_operations import MISSING
from grid.client.entries.scanning import Scanning
from grid.client.processing.here import Shell, shell_here
from grid.client.processing.means import KILL_AFTER_S, Means
from grid.client.processing.waits import Until, Waits
from grid.client.requests.core import Core
from grid.client.tasks.futures import TaskFuture
from grid.errors import OperationError, OperationTimeoutError, TaskTimeoutError
from grid.types import PARTITION_COUNT, NodeId
from grid.wire.keys import decode_keys
from grid.wire.values import decode_record

PARTITIONS_MAX = 16
"""Partitions of one task."""

SLICE_S = 2.0
"""A task that has taken so long gives back the partitions that it has not begun."""

Combine = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class ReduceCall:
    """What a task is to do."""

    map_name: str
    functions: Pickled
    """`map_fn` and `combine`."""
    partitions: list[int]
    left_s: float
    """For all of it, from its start on."""


# -- in a worker ------------------------------------------------------------------------------


def run_reduce(call: ReduceCall) -> tuple[list[Any], list[int]]:
    """Reduce the first partitions, as many as go into a slice, one at least.

    Returns: what comes of them (nothing if they have no entries), and the partitions that are left.

    Raises: what the functions raise; OperationError; SerializationError.
    """
    shell = shell_here()
    clock = shell.core.clock
    began_s = clock()
    map_fn, combine = call.functions.load()
    total: Any = MISSING
    for index, partition_id in enumerate(call.partitions):
        if index and clock() - began_s >= SLICE_S:
            return _listed(total), call.partitions[index:]
        scanning = Scanning(shell.core, call.map_name, with_values=True, partitions=(partition_id,))
        total = _scanned(shell, scanning, map_fn, combine, total, began_s + call.left_s)
    return _listed(total), []


def _scanned(
    shell: Shell,
    scanning: Scanning,
    map_fn: Callable[[Any, Any], Any],
    combine: Combine,
    total: Any,
    deadline_s: float,
) -> Any:
    while (page := shell.run(scanning.next_page())) is not None:
        if shell.core.clock() >= deadline_s:
            raise OperationTimeoutError("the time for reduce is over", "not_applied")
        for key, record in zip(decode_keys(page[0]), page[1], strict=True):
            mapped = map_fn(key, decode_record(record))
            total = mapped if total is MISSING else combine(total, mapped)
    return total


def _listed(total: Any) -> list[Any]:
    return [] if total is MISSING else [total]


# -- in the caller ----------------------------------------------------------------------------


class Reducing:
    """One call."""

    def __init__(
        self,
        means: Means,
        map_name: str,
        functions: Pickled,
        combine: Combine,
        timeout_s: float | None,
    ) -> None:
        """Start with nothing sent; `functions` are those of a `ReduceCall`."""
        self._means = means
        self._core = means.core
        self._map_name = map_name
        self._functions = functions
        self._combine = combine
        self._ends_s = None if timeout_s is None else self._core.clock() + timeout_s
        self._under_way: dict[TaskFuture[tuple[list[Any], list[int]]], float] = {}
        """With the deadline of each."""
        self._total: Any = MISSING

    def run(self) -> Waits[Any]:
        """Return what comes of all entries, MISSING if there are none.

        Raises: what the functions raise; OperationError; TaskError; SerializationError.
        """
        try:
            for partitions in groups(self._core):
                self._send(partitions)
            while self._under_way:
                left_s = min(self._under_way.values()) - self._core.clock()
                if not (yield Until(list(self._under_way), left_s)):
                    raise _too_late("no worker was free for a part of it, or it takes long")
                for task in [task for task in self._under_way if task.done()]:
                    self._take(task)
        finally:
            for task in self._under_way:
                task.drop()
        return self._total

    def _send(self, partitions: list[int]) -> None:
        deadline_s = self._core.deadline() if self._ends_s is None else self._ends_s
        left_s = deadline_s - self._core.clock()
        if left_s <= 0:
            raise _too_late("a part of it was left")
        call = ReduceCall(self._map_name, self._functions, partitions, left_s)
        task = self._means.tasks.submit_near(
            partitions[0],
            run_reduce,
            call,
            timeout=left_s + KILL_AFTER_S,
            name=self._functions.name,
        )
        self._under_way[task] = deadline_s

    def _take(self, task: TaskFuture[tuple[list[Any], list[int]]]) -> None:
        del self._under_way[task]
        try:
            parts, left = task.result()
        except TaskTimeoutError as error:
            raise _too_late(str(error)) from error
        except CancelledError as error:
            raise OperationError("the client was closed meanwhile", "not_applied") from error
        if left:
            self._send(left)
        for part in parts:
            is_first = self._total is MISSING
            self._total = part if is_first else self._combine(self._total, part)


def groups(core: Core) -> list[list[int]]:
    """Return all partitions in groups of one owner each; those of several owners take turns."""
    by_owner: dict[NodeId | None, list[int]] = defaultdict(list)
    for partition_id in range(PARTITION_COUNT):
        by_owner[core.owner_of(partition_id)].append(partition_id)
    cut = [_cut(partitions) for partitions in by_owner.values()]
    most = max(map(len, cut))
    return [of_owner[index] for index in range(most) for of_owner in cut if index < len(of_owner)]


def _cut(partitions: Sequence[int]) -> list[list[int]]:
    starts = range(0, len(partitions), PARTITIONS_MAX)
    return [list(partitions[start : start + PARTITIONS_MAX]) for start in starts]


def _too_late(why: str) -> OperationTimeoutError:
    return OperationTimeoutError(f"reduce has not ended in time: {why}", "not_applied")
