"""A call of `apply` or `apply_many` in the caller: which keys go together, what comes back, when.

Keys are gathered by the node that owns them, up to `ENTRIES_MAX` for a task. A key is sent when it
has its number (``turns.py``), which it keeps until a task has answered for it: also when a task
gives it back because it has taken long, and another one is sent.

Deadlines. Without a timeout each task has the client's usual deadline, from when it is sent on;
with one all of them have that; and none takes more than a minute. A call that is late cancels what
has not started, and waits a moment for the word on the rest.

Not here: what a task does (``entry_processing.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from grid.client.code.roots import Pickled
from grid.client.entries.batches import key_batches_of
from grid.client.processing.entry_processing import ApplyCall, Entry, run_applies
from grid.client.processing.means import KILL_AFTER_S, Means
from grid.client.processing.waits import Until, Waits
from grid.client.requests.core import raise_unknown
from grid.client.tasks.futures import TaskFuture
from grid.errors import OperationError, OperationTimeoutError, Outcome, TaskTimeoutError
from grid.types import NodeId
from grid.wire.keys import encode_key
from grid.wire.values import decode_record

ENTRIES_MAX = 100
"""Keys of one task."""

TASK_S_MAX = 60.0
"""A task is over after that time, in queues and attempts: storage processes know the results of a
client that is silent for twice as long, so what is run again still meets those of its first run."""

WORD_S = 0.2
"""How long a call that is late waits for the word of the nodes: a round trip in a busy cluster, and
short enough for a timeout to mean what it says."""


@dataclass(slots=True)
class _Batch:
    """What goes, or has gone, with one task."""

    keys: list[Any] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    deadline_s: float = 0.0


@dataclass(frozen=True, slots=True)
class What:
    """What is to be applied, and how."""

    map_name: str
    function: Pickled
    """With its arguments."""
    default: Pickled
    with_backup: bool
    timeout_s: float | None


class Applies:
    """One call."""

    def __init__(self, means: Means, what: What) -> None:
        """Start with nothing sent."""
        self._means = means
        self._what = what
        self._core = means.core
        self._ends_s = None if what.timeout_s is None else self._core.clock() + what.timeout_s
        self._turn_ends_s = 0.0
        """When the wait for a number is over, if there is no timeout."""
        self._results: dict[Any, Any] = {}
        self._gathered: dict[NodeId | None, _Batch] = {}
        self._under_way: dict[TaskFuture[list[bytes | None]], _Batch] = {}
        self._retried_before = means.tasks.retried_count
        self._has_applied = False
        self._is_late = False

    def run(self, keys: Iterable[Any]) -> Waits[dict[Any, Any]]:
        """Apply to all keys, each once; return their new values, None for what is removed.

        With the first error nothing more is begun; it is raised when what was begun has ended.

        Raises: what the function raises; OperationError; TaskError; SerializationError.
        """
        try:
            # The caller's iterable is not waited for with numbers in hand, which others wait for.
            for batch in key_batches_of(keys):
                for key in batch:
                    if key not in self._results:
                        self._results[key] = None
                        yield from self._gather(key)
                self._send_all()
            while self._under_way:
                yield from self._wait()
        except Exception:
            yield from self._wind_down()
            raise
        finally:
            self._let_go()
        return self._results

    # -- sending --------------------------------------------------------------------------

    def _gather(self, key: Any) -> Waits[None]:
        partition_id, data = encode_key(key, self._means.limits.key_bytes_max)
        turns = self._means.turns
        turn = turns.take(partition_id)
        try:
            if not turn.done():
                self._send_all()  # What has been gathered may hold what this waits for.
                self._turn_ends_s = self._core.deadline()
            while not turn.done():
                yield from self._wait(turn)
        except BaseException:
            turns.give_up(partition_id, turn)
            raise
        owner = self._core.owner_of(partition_id)
        batch = self._gathered.setdefault(owner, _Batch())
        batch.keys.append(key)
        batch.entries.append((partition_id, data, turn.result()))
        if len(batch.keys) >= ENTRIES_MAX:
            self._send(self._gathered.pop(owner))

    def _send_all(self) -> None:
        while self._gathered:
            _, batch = self._gathered.popitem()
            self._send(batch)

    def _send(self, batch: _Batch) -> None:
        what = self._what
        now_s = self._core.clock()
        ends_s = self._core.deadline() if self._ends_s is None else self._ends_s
        left_s = min(ends_s - now_s, TASK_S_MAX)
        batch.deadline_s = now_s + left_s
        try:
            if left_s <= 0:
                raise self._too_late()
            call = ApplyCall(
                what.map_name,
                self._means.client_id,
                what.function,
                what.default,
                batch.entries,
                what.with_backup,
                self._means.limits.value_bytes_max,
                left_s,
            )
            task = self._means.tasks.submit_near(
                batch.entries[0][0],
                run_applies,
                call,
                timeout=left_s + KILL_AFTER_S,
                name=what.function.name,
            )
        except BaseException:
            self._give_back(batch.entries)
            raise
        self._under_way[task] = batch

    # -- what comes back ------------------------------------------------------------------

    def _wait(self, *turn: Future[int]) -> Waits[None]:
        """Wait for a task, or a turn; take what has come back."""
        ends_s = self._ends_s
        if ends_s is None or self._under_way:
            deadlines = (batch.deadline_s for batch in self._under_way.values())
            ends_s = min(deadlines, default=self._turn_ends_s)
        if not (yield Until([*self._under_way, *turn], ends_s - self._core.clock())):
            yield from self._hurry()
        for task in [task for task in self._under_way if task.done()]:
            self._take(task)

    def _hurry(self) -> Waits[None]:
        """It is too late: end what has not started, hear of what has."""
        if self._is_late or not self._under_way:
            raise self._too_late()
        self._is_late = True
        for task in self._under_way:
            task.drop()
        if not (yield Until(list(self._under_way), WORD_S, all=True)):
            raise self._too_late(is_running=True)

    def _take(self, task: TaskFuture[list[bytes | None]]) -> None:
        batch = self._under_way.pop(task)
        try:
            records = task.result()
        except BaseException as error:
            self._give_back(batch.entries)
            self._raise_in_place_of(error)
            raise
        self._has_applied = True
        count = len(records)
        self._give_back(batch.entries[:count])
        if batch.entries[count:]:
            # Under their numbers: an earlier attempt may have got further and died.
            self._send(_Batch(batch.keys[count:], batch.entries[count:]))
        for key, record in zip(batch.keys, records, strict=False):
            if record is not None:
                self._results[key] = decode_record(record)

    def _raise_in_place_of(self, error: BaseException) -> None:
        """Raise what says better what has become of the entries, if there is something."""
        if isinstance(error, CancelledError):
            if self._is_late:
                raise self._too_late() from error
            raise OperationError("the client was closed meanwhile", self._outcome()) from error
        if isinstance(error, TaskTimeoutError):
            raise OperationTimeoutError(f"in apply: {error}", "unknown") from error
        if isinstance(error, OperationError) and self._outcome() == "unknown":
            raise_unknown(error, "this or another entry of the call may have been written")

    def _outcome(self) -> Outcome:
        """Return what is known if all that was sent has been cancelled before it started."""
        was_retried = self._means.tasks.retried_count != self._retried_before
        return "unknown" if self._has_applied or was_retried else "not_applied"

    def _too_late(self, *, is_running: bool = False) -> OperationTimeoutError:
        what = "no worker was free for it in time"
        if is_running:
            what = "it is still running, or its node does not answer"
        if self._ends_s is not None and self._core.clock() < self._ends_s:
            what += f" (a task has {TASK_S_MAX:g} s, whatever the timeout of all)"
        outcome: Outcome = "unknown" if is_running else self._outcome()
        return OperationTimeoutError(f"apply has not ended in time: {what}", outcome)

    # -- the end --------------------------------------------------------------------------

    def _wind_down(self) -> Waits[None]:
        """After an error: wait for what has started."""
        if self._under_way and not self._is_late:
            for task in self._under_way:
                task.drop()
            ends_s = min(batch.deadline_s for batch in self._under_way.values())
            yield Until(list(self._under_way), ends_s - self._core.clock(), all=True)

    def _let_go(self) -> None:
        """Give back every number; those of tasks that still run when they have ended."""
        for batch in self._gathered.values():
            self._give_back(batch.entries)
        for task, batch in self._under_way.items():
            task.drop()
            task.add_done_callback(partial(self._ended_unheard, batch.entries))
        self._gathered, self._under_way = {}, {}

    def _ended_unheard(self, entries: list[Entry], _: Future[Any]) -> None:
        self._give_back(entries)

    def _give_back(self, entries: list[Entry]) -> None:
        for partition_id, _, number in entries:
            self._means.turns.give_back(partition_id, number)
