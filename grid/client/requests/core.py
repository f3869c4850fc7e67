"""The heart of every client, without I/O: where a request goes, and what to do when it fails.

Responsible for: sending each request where its partition lives, fetching a newer table when
refused, backing off, the deadline, and the decision what may be sent again.

What may be repeated: a refused request (nothing was changed), a request that was never sent,
reads, and writes whose connection broke after they were sent, under the number of their first try:
a storage process that has carried it out gives its first result again, and so does the backup
that takes its place. What has no such number (`popitem`, `clear`) fails with outcome "unknown"
rather than being applied twice.

An operation that fails has outcome "unknown" if any of its tries was sent and got no answer.

Not here: encoding of keys and values (``entries/entry_operations.py``), sockets (the shells).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from random import Random

from grid.client.requests.rounds import READS, Portion, Rounds, forgotten, refused
from grid.client.requests.routing import Routing, Target
from grid.client.requests.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause
from grid.errors import (
    AuthenticationError,
    ClosedError,
    GridError,
    NotEnoughNodesError,
    OperationError,
    OperationTimeoutError,
    Outcome,
    PartitionLostError,
)
from grid.storage.messages import (
    Clear,
    GetUnlessDone,
    InNameOf,
    RefusalReason,
    Refused,
    Reply,
    Request,
    Survived,
    TakeAny,
)
from grid.types import PARTITION_COUNT, NodeId
from grid.wire.control import View

PAUSE_MIN_S, PAUSE_MAX_S = 0.02, 1.0
"""Between two tries while the table does not answer the question; each pause doubles."""

MakeRequest = Callable[[int, int], Request]
"""(request number, epoch) -> request."""

NOT_REPEATABLE = (TakeAny, Clear)
"""Writes that a storage process would carry out again."""

_STOPPED = (OperationError, ClosedError, AuthenticationError)
"""What ends an operation that may have been sent already."""

WINDOW = 2
"""Portions without a reply: while one is carried out, the next is encoded and sent."""

PATIENCE_S = 2.0
"""With a node that is silent for so long, a shell asks the table whether it still serves."""


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
        deadline_s: float = math.inf,
    ) -> Operation[Reply]:
        """Carry out one request on the partition's owner.

        A shell that has `tried` it once already, and did not get a usual reply, says so.
        `deadline_s` may be earlier than the usual one.

        Raises: PartitionLostError; OperationTimeoutError; OperationError.
        """
        usual_s = self.deadline() if tried is None else tried.ask.deadline_s
        deadline_s = min(deadline_s, usual_s)
        single = _Single(0 if tried is None else tried.ask.request.request)
        attempt = 0
        try:
            while True:
                routing = self.routing
                target = routing.targets[partition_id]
                single.unprotected = None
                if target is None and tried is None:
                    reason = yield from self.why_unserved(routing, partition_id)
                else:
                    if tried is not None:
                        routing, ask, result = tried.routing, tried.ask, tried.result
                        tried = None
                    else:
                        assert target is not None
                        single.number = single.number or self.next_number()
                        request = make(single.number, routing.epochs[partition_id])
                        ask = Ask(target, request, deadline_s, payload)
                        result = yield ask
                    if type(result) is Lost:
                        single.was_sent |= result.is_sent and not isinstance(ask.request, READS)
                        self._raise_if_final(ask, result)
                        reason = result.reason
                    elif type(result) is not Refused:
                        return result  # type: ignore[return-value]  # Ask promises a Reply or Lost.
                    elif result.reason is RefusalReason.NOT_COUNTABLE:
                        return result
                    else:
                        reason = single.refused(ask, result)
                yield from self.before_next_try(
                    routing, deadline_s, attempt, reason, single.unprotected
                )
                attempt += 1
        except _STOPPED as error:
            if single.was_sent:
                raise_unknown(error, "an earlier try may have been applied")
            raise

    def on_many(self, portions: Iterable[Portion]) -> Operation[None]:
        """Carry out requests about many entries, several storage processes working at once.

        A portion is encoded and sent while the one before is carried out. The deadline is for
        each portion, not for all together.

        Raises: PartitionLostError; OperationTimeoutError; OperationError. With some written
            already, the outcome is "unknown".
        """
        rounds = Rounds(self, portions)
        attempt = 0
        try:
            while rounds.has_work:
                routing = self.routing
                yield AskAll(rounds.asks(routing), rounds.take, WINDOW * routing.target_count)
                if rounds.failure is not None:
                    raise rounds.failure
                for ask, lost in rounds.losses:
                    self._raise_if_final(ask, lost)
                if not rounds.troubled:
                    attempt = 0
                    continue
                reason = rounds.reason
                if rounds.unserved is not None:
                    reason = yield from self.why_unserved(routing, rounds.unserved)
                yield from self.before_next_try(
                    routing, rounds.deadline_s, attempt, reason, rounds.unprotected
                )
                attempt += 1
        except _STOPPED as error:
            if rounds.has_written:
                raise_unknown(error, "other entries of the same call have been written")
            if rounds.may_have_written:
                raise_unknown(error, "an earlier try may have been applied")
            raise

    # -- what to do when it fails ---------------------------------------------------------

    def before_next_try(
        self,
        used: Routing,
        deadline_s: float,
        attempt: int,
        reason: str,
        unprotected: int | None = None,
    ) -> Operation[None]:
        """End with a table worth another try.

        The same table is tried again after a pause: its nodes may adopt it a moment after
        this client has seen it. `unprotected` is the partition that lacks a backup, if that is
        the reason.

        Raises: OperationTimeoutError when the deadline is over; NotEnoughNodesError.
        """
        is_late = self.clock() >= deadline_s
        if unprotected is not None and (is_late or not used.backup_count):
            raise _not_enough_nodes(used, unprotected)
        if is_late:
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

    def _raise_if_final(self, ask: Ask, lost: Lost) -> None:
        """Raise what ends an operation whose request got no reply; else it may be repeated."""
        is_write = lost.is_sent and not isinstance(ask.request, READS)
        if lost.is_late:
            raise self._too_late(lost.reason, "unknown" if is_write else "not_applied")
        if is_write and isinstance(ask.request, NOT_REPEATABLE):
            raise OperationError(
                f"the connection to {ask.target.name} broke after the write was sent "
                f"({lost.reason}); it may have been applied",
                "unknown",
            )

    def _too_late(self, reason: str, outcome: Outcome) -> OperationTimeoutError:
        return OperationTimeoutError(f"no answer within {self._deadline_s:g} s ({reason})", outcome)


@dataclass(slots=True)
class _Single:
    """What is known about a request on one partition while it is tried."""

    number: int
    """0: it has none yet."""
    was_sent: bool = False
    """It is a write that may have been carried out, although no reply has come."""
    unprotected: int | None = None
    """The partition without a backup for which it was refused at last, if so."""

    def refused(self, ask: Ask, refusal: Refused) -> str:
        """Return why, for the next try.

        Raises: ProtocolError; OperationError if there must not be another.
        """
        reason = refused(ask.target, refusal)
        if refusal.reason is RefusalReason.NO_BACKUP:
            self.unprotected = refusal.partition
        elif refusal.reason is RefusalReason.FORGOTTEN:
            if isinstance(ask.request, Survived):
                message = "the write is so old that nobody knows any more"
                raise OperationError(message, "not_applied")
            if self.was_sent or isinstance(ask.request, GetUnlessDone | InNameOf):
                raise forgotten(ask.target)
            self.number = 0
        return reason


def raise_unknown(error: GridError, why: str) -> None:
    """Raise the same failure for a write that may have been applied, unless it says so itself."""
    if not isinstance(error, OperationError):
        raise OperationError(f"{error}; {why}", "unknown") from error
    if error.outcome == "not_applied":
        raise type(error)(f"{error}; {why}", "unknown") from error


def _not_enough_nodes(used: Routing, partition_id: int) -> NotEnoughNodesError:
    """Return what is missing, and what to do about it."""
    if not used.backup_count:
        missing = "this cluster keeps no backups (replication.backup_count = 0)"
        remedy = "set it to 1, or do not ask for a backup"
    elif len(used.node_ids) == 1:
        missing = f"partition {partition_id} has no backup, for the cluster has one node only"
        remedy = "start another one with 'grid up', or do not ask for a backup"
    else:
        missing = f"the backup of partition {partition_id} is not complete yet"
        remedy = "wait until 'grid status' shows none unprotected, or do not ask for it"
    return NotEnoughNodesError(f"{missing}; {remedy}", "not_applied")
