"""joblib on the cluster: after `register`, ``parallel_config(backend="grid")`` runs calls here.

What uses joblib inside, as scikit-learn does for its ``n_jobs``, then uses every machine, too.

Responsible for: what joblib asks of a backend, in terms of `Grid.executor`.

Not responsible for: where a call runs and when it is tried again (``executor/``). Not imported by
``import grid``: it needs joblib, which ``grid`` does not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from grid.api import connect
from grid.client.current import current_node
from grid.client.session import Grid
from grid.client.tasks.executor import GridExecutor
from grid.errors import ConnectError, GridError

__all__ = ["GridBackend", "register"]

Batch = Callable[[], list[Any]]
"""Some calls that joblib has put together; returns their results in order."""


def register(client: Grid | None = None) -> None:
    """Make the cluster known to joblib as ``backend="grid"``; the latest call holds.

    With a `client`, that is used and stays open. Without, each `joblib.Parallel` connects by
    `grid.connect()` when it starts and closes that when it ends; who starts many of them, or is on
    a machine without a node, is quicker with a client. For one block it may be named there:
    ``parallel_config(backend="grid", client=g)``.

    What `joblib.Parallel` promises holds, with these particulars:

    - ``n_jobs`` is -1 unless said otherwise: all workers of the cluster. -2 is all but one. Where
      that comes to 1, joblib itself runs the calls in this process.
    - A call may run twice if a worker or node dies under it. Calls that were started when another
      one failed, or when ``timeout`` (seconds) was over, run to their end; nobody waits for them.
    - `joblib.Parallel` inside a call is sequential: its worker has one core.
    - joblib, and what else of pip the calls use, must be installed on every machine. A batch of
      calls, pickled, may have 64 MiB, and so may its results.

    Raises (from `joblib.Parallel`): what a call raises; ConnectError; SerializationError,
        ValueTooLargeError for calls that cannot travel; WorkerLostError.
    """
    register_parallel_backend("grid", partial(GridBackend, client=client))


class GridBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # untyped joblib
    """What joblib calls; see `register`."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, client: Grid | None = None, *, nesting_level: int | None = None) -> None:
        """Without a `client`, `configure` connects and `terminate` closes."""
        super().__init__(nesting_level=nesting_level)
        self._given_client = client
        self._limit: int | None = None
        self._client: Grid | None = None
        self._batches: _Batches | None = None
        self._resources = ExitStack()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many calls run at the same time if there are enough.

        Raises: ValueError for 0; ConnectError.
        """
        if _is_for_this_process(n_jobs):
            return 1
        assert n_jobs is not None
        if n_jobs > 0:
            return n_jobs
        client = self._given_client or self._client
        if client is not None:
            return _job_count(n_jobs, _worker_count(client))
        with connect() as client:
            return _job_count(n_jobs, _worker_count(client))

    def configure(self, n_jobs: int | None = 1, parallel: Any = None, **_options: Any) -> int:
        """Get ready for a `joblib.Parallel`; return its `effective_n_jobs`.

        Raises: FallbackToBackend to name another backend for it; ConnectError; ValueError.
        """
        if self._batches is not None:
            # One instance serves a whole ``with parallel_config`` block, where the generator of
            # one Parallel may still be open when the next one starts.
            raise FallbackToBackend(
                GridBackend(self._given_client, nesting_level=self.nesting_level)
            )
        here = SequentialBackend(nesting_level=self.nesting_level)
        if _is_for_this_process(n_jobs):
            raise FallbackToBackend(here)
        assert n_jobs is not None
        with ExitStack() as resources:
            client = self._given_client or resources.enter_context(connect())
            worker_count = _worker_count(client)
            job_count = _job_count(n_jobs, worker_count)
            if job_count == 1:
                raise FallbackToBackend(here)
            # Where all workers may be used, some batches more than workers are on their way.
            self._limit = job_count if job_count < worker_count else None
            self._batches = _Batches(client.executor(), self._limit)
            self._client = client
            self._resources = resources.pop_all()
        self.parallel = parallel
        return job_count

    def submit(
        self, func: Batch, callback: Callable[[Future[list[Any]]], object] | None = None
    ) -> Future[list[Any]]:
        """Run a batch on some worker; `callback` gets the future that is returned, when done."""
        assert self._batches is not None, "joblib configures first"
        job: Future[list[Any]] = Future()
        if callback is not None:
            job.add_done_callback(callback)
        self._batches.put(func, job)
        return job

    def retrieve_result_callback(self, out: Future[list[Any]]) -> list[Any]:
        """Return the results of a batch, or raise what one of its calls raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Start nothing more of what was submitted, and forget what runs."""
        if self._batches is None or self._client is None:
            return
        self._batches.end()
        if ensure_ready:
            self._batches = _Batches(self._client.executor(), self._limit)

    def terminate(self) -> None:
        """Let go of the cluster: the `joblib.Parallel` has ended."""
        if self._batches is not None:
            self._batches.end()
        self._batches = self._client = None
        self._resources.close()
        self.reset_batch_stats()

    def get_nested_backend(self) -> tuple[SequentialBackend, None]:
        """Return what `joblib.Parallel` inside a call uses, and no wish for its ``n_jobs``.

        Threads, joblib's default, would share the core that the next worker believes to have; and
        calls that wait for calls in the same cluster could fill it and wait for ever.
        """
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


class _Batches:
    """The batches of one `joblib.Parallel`, on an executor of their own.

    A thread submits them and calls back. The executor's I/O thread cannot: joblib's callbacks
    take a lock that joblib also holds while it submits, and they run the user's generator of
    further calls. Only that thread touches what is below; others put steps into its inbox.
    """

    def __init__(self, executor: GridExecutor, limit: int | None) -> None:
        """At most `limit` batches are with the cluster at the same time; None: all of them."""
        self._executor = executor
        self._limit = limit
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._waiting: deque[tuple[Batch, Future[list[Any]]]] = deque()
        self._running_count = 0
        self._has_ended = False
        threading.Thread(target=self._run, name="grid-joblib", daemon=True).start()

    def put(self, batch: Batch, job: Future[list[Any]]) -> None:
        """Run `batch` when there is room; its outcome goes into `job`. Never blocks."""
        self._inbox.put(partial(self._accept, batch, job))

    def end(self) -> None:
        """Submit nothing more, and wait for nothing; idempotent. Jobs without result fail."""
        self._has_ended = True
        self._executor.abandon()
        self._inbox.put(None)  # After whatever the executor's thread has put.

    def _run(self) -> None:
        """Runs in: the thread of this object, until `end`."""
        while (step := self._inbox.get()) is not None:
            step()

    def _accept(self, batch: Batch, job: Future[list[Any]]) -> None:
        self._waiting.append((batch, job))
        self._submit_waiting()

    def _submit_waiting(self) -> None:
        while (
            self._waiting
            and not self._has_ended
            and (self._limit is None or self._running_count < self._limit)
        ):
            batch, job = self._waiting.popleft()
            self._running_count += 1
            future: Future[list[Any]]
            try:
                future = self._executor.submit(batch)
            except Exception as error:  # joblib learns of it by the job: raised here, by nobody.
                future = Future()
                future.set_exception(error)
            future.add_done_callback(partial(self._on_done, job))

    def _on_done(self, job: Future[list[Any]], done: Future[list[Any]]) -> None:
        """Runs in: the executor's I/O thread, or this object's."""
        self._inbox.put(partial(self._finish, job, done))

    def _finish(self, job: Future[list[Any]], done: Future[list[Any]]) -> None:
        self._running_count -= 1
        self._submit_waiting()  # First: what the job calls back may take its time.
        error = CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            job.set_exception(error)
        else:
            job.set_result(done.result())


def _is_for_this_process(n_jobs: int | None) -> bool:
    """Whether calls run one after the other, right here: so it was asked, or this is a task."""
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 in Parallel has no meaning")
    if n_jobs is None or n_jobs == 1:
        return True
    try:
        current_node()
    except GridError:
        return False
    return True


def _job_count(n_jobs: int, worker_count: int) -> int:
    """Return how many jobs joblib's `n_jobs` means, where -1 stands for all workers."""
    return n_jobs if n_jobs > 0 else max(worker_count + 1 + n_jobs, 1)


def _worker_count(client: Grid) -> int:
    """Return how many tasks the living nodes run at the same time.

    Raises: ConnectError when that is none at all.
    """
    count = sum(node.workers for node in client.nodes())
    if count == 0:
        raise ConnectError("no node of the cluster has a worker")
    return count
