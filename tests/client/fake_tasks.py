"""An executor without processes, for what maps have run at their data in a fake cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from grid.client.code.calls import dump_call, unpack
from grid.client.processing import here
from grid.client.tasks.futures import TaskFuture
from grid.executor.effects import Finished
from grid.executor.messages import WorkerTask
from grid.process.shipped_modules import ShippedModules
from grid.process.worker import run_task

from .fakes import FakeCluster, FakeShell

T = TypeVar("T")


class FakeTasks:
    """An executor whose tasks run in this thread: at once, or when `run_one` is called.

    They travel as bytes. `deaths`: so many of them die with their answers, and are run again.
    """

    def __init__(self, cluster: FakeCluster, *, holds: bool = False) -> None:
        self.worker = FakeShell(cluster)
        self.holds = holds
        self.deaths = 0
        self.is_over = False
        self.retried_count = 0
        self.sent: list[tuple[int, float]] = []
        """Partition and timeout of each task."""
        self.names: list[str] = []
        self.waiting: dict[TaskFuture[Any], bytes] = {}

    def submit_near(
        self, partition_id: int, fn: Callable[..., T], /, *args: Any, timeout: float, name: str
    ) -> TaskFuture[T]:
        future: TaskFuture[T] = TaskFuture(self._cancel, 0)
        self.sent.append((partition_id, timeout))
        self.names.append(name)
        self.waiting[future] = dump_call(fn, args, {}).payload
        if not self.holds:
            self.run_one()
        return future

    def run_one(self) -> None:
        """Run the first that waits."""
        future = next(iter(self.waiting))
        payload = self.waiting.pop(future)
        while True:
            with at_node(self.worker):
                outcome, result = run_task(
                    WorkerTask(1, payload=payload), ShippedModules("n0"), "n0"
                )
            if not self.deaths:
                break
            self.deaths -= 1
            self.retried_count += 1
        try:
            future.become_done(unpack(Finished(1, outcome, result, None), "n0"))
        except Exception as error:
            future.become_failed(error)

    def _cancel(self, future: TaskFuture[Any], is_forced: bool, waits: bool) -> None:
        if self.waiting.pop(future, None) is not None:
            future.become_cancelled()


@contextlib.contextmanager
def at_node(shell: FakeShell) -> Iterator[None]:
    """Be in a task that reaches its node by this shell."""
    before = here._shell
    here.set_shell(lambda: shell)
    try:
        yield
    finally:
        here._shell = before
