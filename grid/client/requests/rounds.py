"""An operation on many entries: its portions, sent round by round until all are carried out.

Responsible for: one request for each portion and storage process, what is left to ask after a
reply that stopped early, a refusal or a loss. A round with trouble takes no new portions, so what
waits to be repeated is bounded.

What is asked again keeps its deadline and the number of its first request, by which a storage
process knows what it has carried out already. It may be divided among other storage processes
then, but never the items of one partition.

Not responsible for: pauses, deadlines and what is final (``core.py``), the requests themselves
(``entries/map_operations.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from grid.client.requests.routing import Routing, Target
from grid.client.requests.steps import Ask, Lost
from grid.errors import OperationError, ProtocolError
from grid.storage.messages import (
    Flush,
    Get,
    GetAll,
    GetUnlessDone,
    RefusalReason,
    Refused,
    Reply,
    Request,
    Scan,
    Size,
    Survived,
)

READS = (Get, GetAll, GetUnlessDone, Size, Scan, Flush, Survived)
"""They change nothing."""

MakePortion = Callable[[int, "Claim", Sequence[int]], Request]
"""(request number, claim, indexes of its items) -> request."""


class Claim(NamedTuple):
    """What a request says beside its items.

    That is of the partitions: each with its epoch, or the digest of all; and of itself: the number
    of the first request with these items, its own or that of the one it repeats.
    """

    epochs: list[tuple[int, int]]
    digest: int
    operation: int


@dataclass(frozen=True, slots=True)
class Portion:
    """Some items of a call, as many as go into one message."""

    partitions: Sequence[int]
    """The partition of each item."""
    make: MakePortion
    """Makes the request for the items with the given indexes."""
    take: Callable[[Sequence[int], Reply], Sequence[int]]
    """Is given the indexes and the reply; returns the indexes to ask for again."""
    by_digest: bool = True
    """Whether the first request may bring a digest; not if it concerns partitions as such."""


@dataclass(slots=True)
class _Work:
    """Some items of a portion, all that it has of their partitions."""

    portion: Portion
    indexes: Sequence[int]
    deadline_s: float
    operation: int = 0
    """The number of the first request for them; 0: there was none."""
    was_sent: bool = False
    """A write of them may have been carried out, although no reply has come."""


class Numbers(Protocol):
    """What a round needs of the core."""

    def next_number(self) -> int:
        """Return the number of a new request."""
        ...

    def deadline(self) -> float:
        """Return when a request of now must be over."""
        ...


class Rounds:
    """The work of one call. In turn: `asks` and `take` for a round, then look at the rest."""

    def __init__(self, core: Numbers, portions: Iterable[Portion]) -> None:
        """Take the portions one by one, as they are needed."""
        self._core = core
        self._portions = iter(portions)
        self._is_exhausted = False
        self._waiting: deque[_Work] = deque()
        self._asked: dict[int, _Work] = {}
        self.losses: list[tuple[Ask, Lost]] = []
        """Of this round."""
        self.unserved: int | None = None
        """A partition that had no target in this round."""
        self.unprotected: int | None = None
        """A partition that had no backup in this round, which was to be waited for."""
        self.reason = ""
        """Why something has to be repeated."""
        self.failure: OperationError | None = None
        """What ends the call."""
        self.has_written = False
        self._is_write = False
        self._was_refused = False
        """A digest is not worth another try in this call."""

    @property
    def has_work(self) -> bool:
        """Whether something is not carried out yet."""
        return bool(self._waiting) or not self._is_exhausted

    @property
    def troubled(self) -> bool:
        """Whether something of this round has to be repeated."""
        return bool(self.losses) or bool(self.reason) or self.unserved is not None

    @property
    def deadline_s(self) -> float:
        """When the first of what waits must be over."""
        return min(work.deadline_s for work in self._waiting)

    @property
    def may_have_written(self) -> bool:
        """Whether a write was sent that has no reply so far."""
        is_asking = self._is_write and bool(self._asked)
        return is_asking or any(work.was_sent for work in self._waiting)

    def asks(self, routing: Routing) -> Iterator[Ask]:
        """Begin a round: yield requests until there is no more work, or there is trouble."""
        self.losses, self.unserved, self.unprotected, self.reason = [], None, None, ""
        again = self._waiting
        self._waiting = deque()
        while True:
            if again:
                work = again.popleft()
            elif self.troubled:
                return
            elif self._waiting:  # Rests of replies that stopped early.
                work = self._waiting.popleft()
            else:
                # Not before it is needed: it is encoded while the one before is carried out.
                portion = next(self._portions, None)
                if portion is None:
                    self._is_exhausted = True
                    return
                work = _Work(portion, range(len(portion.partitions)), self._core.deadline())
            groups, unserved = routing.grouped(work.portion.partitions, work.indexes)
            if unserved:  # Nothing of the portion is sent: better none of it than some.
                self.unserved = work.portion.partitions[unserved[0]]
                self._waiting.append(work)
                continue
            for target, here in groups.items():
                yield self._ask(routing, target, work, here)

    def _ask(self, routing: Routing, target: Target, work: _Work, here: Sequence[int]) -> Ask:
        number = self._core.next_number()
        operation = work.operation or number
        part = _Work(work.portion, here, work.deadline_s, operation, work.was_sent)
        self._asked[number] = part
        request = work.portion.make(number, self._claim(routing, target, part), here)
        self._is_write = not isinstance(request, READS)
        return Ask(target, request, work.deadline_s)

    def _claim(self, routing: Routing, target: Target, work: _Work) -> Claim:
        portion, indexes = work.portion, work.indexes
        if portion.by_digest and not self._was_refused:
            return Claim([], routing.digest_of(target), work.operation)
        is_all = len(indexes) == len(portion.partitions)
        places = portion.partitions if is_all else map(portion.partitions.__getitem__, indexes)
        return Claim(routing.epochs_of(places), 0, work.operation)

    def take(self, ask: Ask, result: Reply | Lost) -> None:
        """Take what has become of a request."""
        work = self._asked.pop(ask.request.request)
        if isinstance(result, Lost):
            self.losses.append((ask, result))
            self.reason = result.reason
            work.was_sent |= self._is_write and result.is_sent
            self._waiting.append(work)
        elif isinstance(result, Refused):
            self._take_refusal(ask, work, result)
            self._waiting.append(work)
        else:
            self.has_written |= self._is_write
            rest = work.portion.take(work.indexes, result)
            if rest:
                self._waiting.append(_Work(work.portion, rest, self._core.deadline()))

    def _take_refusal(self, ask: Ask, work: _Work, refusal: Refused) -> None:
        self.reason = refused(ask.target, refusal)
        if refusal.reason is RefusalReason.NO_BACKUP:
            self.unprotected = refusal.partition
        elif refusal.reason is not RefusalReason.FORGOTTEN:
            self._was_refused = True
        elif work.was_sent:
            self.failure = forgotten(ask.target)
        else:
            work.operation = 0


def refused(target: Target, refusal: Refused) -> str:
    """Return why, for the next try.

    Raises: ProtocolError when another try would be refused as well.
    """
    if refusal.reason is RefusalReason.TOO_LARGE:
        raise ProtocolError("the node has smaller key or value limits than this client")
    return f"refused by {target.name}: {refusal.reason.name}"


def forgotten(target: Target) -> OperationError:
    """Return why a write that was sent before can neither be repeated nor taken for done."""
    return OperationError(
        f"the answer to the write was lost, and {target.name} no longer knows whether it was "
        "carried out; it may have been applied",
        "unknown",
    )
