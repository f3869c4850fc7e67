"""The executor as a Python program sees it: a `concurrent.futures.Executor` over the cluster.

Responsible for: what can be asked for, and pickling it in the caller's thread.

Not responsible for: threads, futures and bounds (``task_thread.py``), lazy `map`
(``mapping.py``), which node, attempts and retries (``executor/submissions.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Literal, ParamSpec, TypeVar, overload

from grid.client.code.calls import TASK_BYTES_MAX, PickledCall, dump_call, run_chunk
from grid.client.code.roots import Pickled
from grid.client.requests.connections import Connections
from grid.client.requests.core import Core
from grid.client.tasks.futures import TaskFuture
from grid.client.tasks.mapping import mapped
from grid.client.tasks.task_thread import TaskThread
from grid.client.tasks.waiting import Waiting
from grid.errors import ClosedError, GridError, ValueTooLargeError
from grid.executor.options import ExecutorOptions
from grid.executor.submissions import Terms
from grid.types import NodeId
from grid.wire.keys import encode_key

P = ParamSpec("P")
T = TypeVar("T")

_KEY_BYTES_MAX = 1 << 20
_RETRIES_MAX = 1000
_PRIORITY_MAX = 1_000_000
_TIMEOUT_S_MAX = 30 * 86_400.0


class GridExecutor(Executor):
    """Runs calls on every core of every machine of the cluster.

    At least once: a task whose worker or node dies runs again elsewhere, up to
    ``executor.attempts_max`` times, unless `submit_to` says otherwise. Exceptions come back as
    themselves, with the remote traceback and the node as a note.
    """

    def __init__(
        self,
        connections: Connections,
        core: Core,
        options: ExecutorOptions,
        *,
        when_full: Literal["wait", "raise"] = "wait",
        waiting: Waiting | None = None,
    ) -> None:
        """Use `Grid.executor` instead."""
        if when_full not in ("wait", "raise"):
            raise ValueError(f'when_full must be "wait" or "raise", not {when_full!r}')
        self._core = core
        self._options = options
        self._usual = Terms(attempts_max=options.attempts_max)
        self._tasks = TaskThread(connections, waits_when_full=when_full == "wait", waiting=waiting)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Run ``fn(*args, **kwargs)`` on some node.

        Waits while 10,000 tasks or 1 GiB of calls are without a result, or raises
        TaskQueueFullError, as asked for.
        Raises: SerializationError; RuntimeError after `shutdown`.
        """
        return self._submit(dump_call(fn, args, kwargs), self._usual)

    @overload
    def submit_to(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        key: object = None,
        node: str | None = None,
        all: Literal[False] = False,
        retries: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> TaskFuture[T]: ...

    @overload
    def submit_to(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        all: Literal[True],
        retries: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> dict[str, TaskFuture[T]]: ...

    def submit_to(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        key: object = None,
        node: str | None = None,
        all: bool = False,
        retries: int | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> TaskFuture[T] | dict[str, TaskFuture[T]]:
        """Run ``fn(*args)`` as you say; for keyword arguments take `functools.partial`.

        Args:
            fn: what to call.
            args: with what.
            key: run it where this key's entries live if a worker is free there, else elsewhere.
            node: run it on the node of this name and nowhere else.
            all: run it once on every node that has workers; returns a dict of futures by node name.
            retries: how often it may run again after its worker or node has died. 0: it never runs
                twice, and fails with WorkerLostError instead.
            timeout: seconds that it may run. Then its worker is killed, and it fails with
                TaskTimeoutError. The time in queues does not count.
            priority: of what waits, the highest starts first.

        Raises: as `submit`; ValueError for what cannot be; GridError when there is no such node.
        """
        if (key is not None) + (node is not None) + all > 1:
            raise ValueError("only one of key=, node= and all= can be asked for")
        attempts_max = self._attempts(retries)
        timeout_ms = _milliseconds(timeout)
        if not isinstance(priority, int) or abs(priority) > _PRIORITY_MAX:
            raise ValueError(f"priority must be a whole number up to {_PRIORITY_MAX:,}")
        call = dump_call(fn, args, {})

        def submit(preferred: NodeId | None, *, is_pinned: bool) -> TaskFuture[T]:
            return self._submit(
                call, Terms(preferred, is_pinned, attempts_max, timeout_ms, priority)
            )

        if all:
            places = self._tasks.names()
            return {name: submit(node_id, is_pinned=True) for node_id, name in places.items()}
        if node is not None:
            return submit(self._node_named(node), is_pinned=True)
        if key is not None:
            partition_id, _ = encode_key(key, _KEY_BYTES_MAX)
            return submit(self._core.owner_of(partition_id), is_pinned=False)
        return submit(None, is_pinned=False)

    def submit_near(
        self, partition_id: int, fn: Callable[..., T], /, *args: Any, timeout: float, name: str
    ) -> TaskFuture[T]:
        """Run ``fn(*args)`` where this partition lives if a worker is free there, else elsewhere.

        For what a map has run at its data (``processing/``); `timeout` as for `submit_to`, `name`
        is of the user's function in it.

        Raises: ClosedError when the client is closed, as other calls of maps do; as `submit`.
        """
        terms = Terms(
            self._core.owner_of(partition_id),
            attempts_max=self._options.attempts_max,
            timeout_ms=_milliseconds(timeout),
        )
        call = dump_call(fn, args, {}, name)
        try:
            return self._submit(call, terms)
        except RuntimeError as error:  # What the standard library has executors raise.
            raise ClosedError("the client is closed") from error

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call `fn` with the elements of `iterables`; yield the results in their order.

        Unlike the standard library's, it does not read the iterables to their end at once: at most
        `buffersize` results are under way or waiting to be taken, so endless ones are fine.

        Args:
            fn: what to call; it travels once for each chunk, and is loaded once in each worker.
            iterables: one for each argument; the shortest ends it.
            timeout: seconds from now until the last result; then TimeoutError is raised.
            chunksize: elements that are one task. More is faster for short calls.
            buffersize: elements read ahead; by default 4,096 chunks at most.

        Raises: ValueError; what `fn` raises, when its result is taken; as `submit`.
        """
        if not isinstance(chunksize, int) or chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and (not isinstance(buffersize, int) or buffersize < 1):
            raise ValueError("buffersize must be None or >= 1.")
        return mapped(self._submit_chunk, fn, iterables, timeout, chunksize, buffersize)

    @property
    def _max_workers(self) -> int:
        """How many tasks run at a time, under the name by which dask asks any executor."""
        return self._tasks.worker_count()

    @property
    def is_over(self) -> bool:
        """Whether it was shut down and has nothing left to do."""
        return self._tasks.is_over

    @property
    def retried_count(self) -> int:
        """How often a task was sent again because its worker or node died."""
        return self._tasks.retried_count

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more; with `wait`, return when every future is done."""
        self._tasks.shutdown(waits=wait, cancels=cancel_futures)

    def abandon(self) -> None:
        """Shut down without waiting: tasks that still run fail with a TaskError here."""
        self._tasks.abandon()

    def _submit_chunk(
        self, function: Pickled, chunk: list[tuple[Any, ...]]
    ) -> TaskFuture[list[Any]]:
        return self._submit(dump_call(run_chunk, (function, chunk), {}, function.name), self._usual)

    def _submit(self, call: PickledCall, terms: Terms) -> TaskFuture[Any]:
        call_bytes = len(call.payload)
        if call_bytes > TASK_BYTES_MAX:
            raise ValueTooLargeError(
                f"the call takes {call_bytes:,} bytes; at most {TASK_BYTES_MAX:,} are allowed: "
                "put large data into a map and pass its key"
            )
        return self._tasks.submit(call, terms)

    def _node_named(self, name: str) -> NodeId:
        places = self._tasks.names()
        for node_id, known in places.items():
            if known == name:
                return node_id
        there = ", ".join(sorted(places.values())) or "none"
        raise GridError(f"there is no node {name!r} with workers; there are: {there}")

    def _attempts(self, retries: int | None) -> int:
        if retries is None:
            return self._options.attempts_max
        if not isinstance(retries, int) or not 0 <= retries <= _RETRIES_MAX:
            raise ValueError(f"retries must be a whole number from 0 to {_RETRIES_MAX:,}")
        return retries + 1


def _milliseconds(timeout_s: float | None) -> int:
    if timeout_s is None:
        return 0
    if not 0 < timeout_s <= _TIMEOUT_S_MAX:
        raise ValueError("timeout must be more than 0 seconds and at most 30 days")
    return max(1, round(timeout_s * 1000))
