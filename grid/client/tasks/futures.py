"""What `submit` returns: a `concurrent.futures.Future` that knows its task.

Not here: who completes it (``task_thread.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

T = TypeVar("T")


class TaskFuture(Future[T], Generic[T]):
    """The result to come of one task.

    It is *running* once its node has said so, which it does of tasks that take more than a
    moment; short ones go from pending to done.
    """

    def __init__(
        self, cancel: Callable[[TaskFuture[T], bool, bool], None], call_bytes: int
    ) -> None:
        """Use `Executor.submit` instead.

        `cancel` asks for the end of the task: by force or not, and waiting for the answer or not.
        """
        super().__init__()
        self._ask_to_cancel = cancel
        self._was_killed = False
        self.call_bytes = call_bytes
        """What the pickled call takes."""
        self.number = 0
        """Of the task, within its executor."""
        self.node: str | None = None
        """The name of the node that runs it, or ran it last, as far as is known."""

    def cancel(self, *, force: bool = False) -> bool:
        """Cancel the task if it has not started; with `force`, also when it runs.

        A task that has been sent to a node is asked for there, so this may take a round trip, or a
        second if the node is silent. By force, its worker process is killed and replaced; the task
        may have run in part. Within a callback of a future nothing is waited for: what has been
        sent is then cancelled soon, or not, and the answer is False.

        Returns: whether the task is cancelled.
        """
        if not self.done():
            self._ask_to_cancel(self, force, True)
        return self.cancelled()

    def drop(self) -> None:
        """Cancel the task if it has not started, without waiting for the word of its node."""
        if not self.done():
            self._ask_to_cancel(self, False, False)

    def cancelled(self) -> bool:
        """Return whether it was cancelled, before it started or while it ran."""
        return self._was_killed or super().cancelled()

    # -- for the executor -----------------------------------------------------------------

    def become_cancelled(self) -> None:
        """It never started. Tells those who wait for it."""
        if super().cancel():
            self.set_running_or_notify_cancel()
        else:
            self.become_killed()

    def become_killed(self) -> None:
        """It was ended while it ran; the standard library has no way back from running."""
        self._was_killed = True
        self.set_exception(CancelledError())

    def become_running(self, node: str) -> None:
        """It has been seen to run."""
        self.node = node
        if not self.running():
            self.set_running_or_notify_cancel()

    def become_failed(self, error: BaseException) -> None:
        """It is over without a result."""
        if not self.running():
            self.set_running_or_notify_cancel()
        self.set_exception(error)

    def become_done(self, result: T) -> None:
        """It has returned."""
        if not self.running():
            self.set_running_or_notify_cancel()
        self.set_result(result)
