"""The heart of every client, without I/O: where a request goes, and what to do when it fails.

Responsible for: sending each request where its partition lives, fetching a newer table when
refused, backing off, the deadline, and the decision what may be sent again.

What may be repeated: a refused request (nothing was changed), a request that was never sent,
and reads. A write whose connection broke after it was sent may have been applied; it fails
with outcome "unknown" rather than being applied twice.

Not here: encoding of keys and values (``map_operations.py``), sockets (the shells).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from random import Random

from grid.client.rounds import READS, Portion, Rounds, refused
from grid.client.routing import Routing, Target
from grid.client.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause
from grid.errors import (
    OperationError,
    OperationTimeoutError,
    Outcome,
    PartitionLostError,
)
from grid.storage.messages import (
    RefusalReason,
    Refused,
    Reply,
    Request,
)
from grid.types import PARTITION_COUNT, NodeId
from grid.wire.control import View

PAUSE_MIN_S, PAUSE_MAX_S = 0.02, 1.0
"""Between two tries while the table does not answer the question; each pause doubles."""

MakeRequest = Callable[[int, int], Request]
"""(request number, epoch) -> request."""

WINDOW = 2
"""Portions without a reply: while one is carried out, the next is encoded and sent."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a first try."""

    routing: Routing
    ask: Ask
    result: Lost | Refused


class Core:
    """What the operations of one client share. Safe to share between threads."""

    def __init__(
        self, view: View, deadline_s: float, clock: Callable[[], float], random: Random
    ) -> None:
        """Route by the table of `view`, which must have one."""
        self.routing = Routing(view)
        self.random = random
        self.clock = clock
        self._deadline_s = deadline_s
        self._numbers = count(1)

    def adopt(self, view: View) -> None:
        """Use a newer table; nothing changes when the node has none."""
        if view.table is not None:
            self.routing = Routing(view)

    def deadline(self) -> float:
        """Return when an operation that begins now must be over, on the clock."""
        return self.clock() + self._deadline_s

    def next_number(self) -> int:
        """Return the number of a new request."""
        return next(self._numbers)

    def owner_of(self, partition_id: int) -> NodeId | None:
        """Return the node that holds a partition, by the table in use."""
        target = self.routing.targets[partition_id]
        return None if target is None else target.node_id

    def is_still_at(self, target: Target) -> bool:
        """Whether the table in use still has `target` serve something."""
        # By place: the address may be another, as another gateway tells it.
        return any(now is not None and now.place == target.place for now in self.routing.targets)

    # -- operations -----------------------------------------------------------------------

    def on_partition(
        self,
        partition_id: int,
        make: MakeRequest,
        payload: bytes | None = None,
        tried: Tried | None = None,
    ) -> Operation[Reply]:
        """Carry out one request on the partition's owner.

        A shell that has `tried` it once already, and did not get a usual reply, says so.

        Raises: PartitionLostError; OperationTimeoutError; OperationError.
        """
        deadline_s = self.deadline() if tried is None else tried.ask.deadline_s
        attempt = 0
        while True:
            routing = self.routing
            target = routing.targets[partition_id]
            if target is None and tried is None:
                reason = yield from self.why_unserved(routing, partition_id)
            else:
                if tried is not None:
                    routing, ask, result = tried.routing, tried.ask, tried.result
                    tried = None
                else:
                    assert target is not None
                    request = make(next(self._numbers), routing.epochs[partition_id])
                    ask = Ask(target, request, deadline_s, payload)
                    result = yield ask
                if type(result) is Lost:
                    self._raise_if_final(ask.request, ask.target, result)
                    reason = result.reason
                elif type(result) is not Refused:
                    return result  # type: ignore[return-value]  # Ask promises a Reply or Lost.
                elif result.reason is RefusalReason.NOT_COUNTABLE:
                    return result
                else:
                    reason = refused(ask.target, result)
            yield from self.before_next_try(routing, deadline_s, attempt, reason)
            attempt += 1

    def on_many(self, portions: Iterable[Portion]) -> Operation[None]:
        """Carry out requests about many entries, several storage processes working at once.

        A portion is encoded and sent while the one before is carried out. The deadline is for
        each portion, not for all together.

        Raises: PartitionLostError; OperationTimeoutError; OperationError. With some written
            already, the outcome is "unknown".
        """
        rounds = Rounds(self, portions)
        deadline_s, attempt = 0.0, 0
        try:
            while rounds.has_work:
                routing = self.routing
                yield AskAll(rounds.asks(routing), rounds.take, WINDOW * routing.target_count)
                for ask, lost in rounds.losses:
                    self._raise_if_final(ask.request, ask.target, lost)
                if not rounds.troubled:
                    deadline_s, attempt = 0.0, 0
                    continue
                reason = rounds.reason
                if rounds.unserved is not None:
                    reason = yield from self.why_unserved(routing, rounds.unserved)
                deadline_s = deadline_s or self.deadline()
                yield from self.before_next_try(routing, deadline_s, attempt, reason)
                attempt += 1
        except OperationError as error:
            if rounds.has_written and error.outcome == "not_applied":
                message = f"{error}; other entries of the same call have been written"
                raise type(error)(message, "unknown") from error
            raise

    # -- what to do when it fails ---------------------------------------------------------

    def before_next_try(
        self, used: Routing, deadline_s: float, attempt: int, reason: str
    ) -> Operation[None]:
        """End with a table worth another try.

        The same table is tried again after a pause: its nodes may adopt it a moment after
        this client has seen it.

        Raises: OperationTimeoutError when the deadline is over.
        """
        if self.clock() >= deadline_s:
            raise self._too_late(reason, "not_applied")
        if self.routing is not used:
            return
        failure = yield FetchTable(deadline_s)
        if failure is not None or self.routing.stamp == used.stamp:
            # Above some 2 ** 6 the pause no longer grows, and 2 ** attempt must not either.
            pause_s = min(PAUSE_MIN_S * 2 ** min(attempt, 16), PAUSE_MAX_S)
            left_s = max(deadline_s - self.clock(), 0.001)
            yield Pause(min(pause_s * self.random.uniform(0.5, 1), left_s))

    def why_unserved(self, used: Routing, partition_id: int) -> Operation[str]:
        """Return why a partition has no target, for the wait until it has one.

        Raises: PartitionLostError when the newest table says that it is lost.
        """
        if partition_id not in used.lost:
            return f"the owner of partition {partition_id} is gone"
        if self.routing is used:
            yield FetchTable(self.deadline())
        lost = self.routing.lost
        if partition_id in lost:
            raise PartitionLostError(
                f"partition {partition_id} was lost with the node that held it ({len(lost)} of "
                f"{PARTITION_COUNT} are lost now); 'grid accept-loss' makes them usable again, "
                "without what they held",
                "not_applied",
            )
        return f"partition {partition_id} has just been lost or accepted"

    def _raise_if_final(self, request: Request, target: Target, lost: Lost) -> None:
        """Raise what ends an operation whose request got no reply; else it may be repeated."""
        is_write = lost.is_sent and not isinstance(request, READS)
        if lost.is_late:
            raise self._too_late(lost.reason, "unknown" if is_write else "not_applied")
        if is_write:
            raise OperationError(
                f"the connection to {target.name} broke after the write was sent "
                f"({lost.reason}); it may have been applied",
                "unknown",
            )

    def _too_late(self, reason: str, outcome: Outcome) -> OperationTimeoutError:
        return OperationTimeoutError(f"no answer within {self._deadline_s:g} s ({reason})", outcome)
