"""An operation on many entries: its portions, sent round by round until all are carried out.

Responsible for: one request for each portion and storage process, what is left to ask after a
reply that stopped early, a refusal or a loss. A round with trouble takes no new portions, so what
waits to be repeated is bounded.

Not responsible for: pauses, deadlines and what is final (``core.py``), the requests themselves
(``map_operations.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from grid.client.routing import Routing, Target
from grid.client.steps import Ask, Lost
from grid.errors import ProtocolError
from grid.storage.messages import Get, GetAll, RefusalReason, Refused, Reply, Request, Scan, Size

READS = (Get, GetAll, Size, Scan)

MakePortion = Callable[[int, list[tuple[int, int]], Sequence[int]], Request]
"""(request number, (partition, epoch) pairs, indexes of its items) -> request."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Some items of a call, as many as go into one message."""

    partitions: Sequence[int]
    """The partition of each item."""
    make: MakePortion
    """Makes the request for the items with the given indexes."""
    take: Callable[[Sequence[int], Reply], Sequence[int]]
    """Is given the indexes and the reply; returns the indexes to ask for again."""


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
        self._next = next(self._portions, None)
        self._waiting: deque[tuple[Portion, Sequence[int]]] = deque()
        self._asked: dict[int, tuple[Portion, Sequence[int]]] = {}
        self.losses: list[tuple[Ask, Lost]] = []
        """Of this round."""
        self.unserved: int | None = None
        """A partition that had no target in this round."""
        self.reason = ""
        """Why something has to be repeated."""
        self.has_written = False

    @property
    def has_work(self) -> bool:
        """Whether something is not carried out yet."""
        return bool(self._waiting) or self._next is not None

    @property
    def troubled(self) -> bool:
        """Whether something of this round has to be repeated."""
        return bool(self.losses) or bool(self.reason) or self.unserved is not None

    def asks(self, routing: Routing) -> Iterator[Ask]:
        """Begin a round: yield requests until there is no more work, or there is trouble."""
        self.losses, self.unserved, self.reason = [], None, ""
        again = self._waiting
        self._waiting = deque()
        while again:
            yield from self._asks_for(routing, *again.popleft())
        while not self.troubled:
            if self._waiting:  # Rests of replies that stopped early.
                yield from self._asks_for(routing, *self._waiting.popleft())
            elif self._next is not None:
                portion, self._next = self._next, next(self._portions, None)
                yield from self._asks_for(routing, portion, range(len(portion.partitions)))
            else:
                return

    def _asks_for(
        self, routing: Routing, portion: Portion, indexes: Sequence[int]
    ) -> Iterator[Ask]:
        groups, unserved = routing.grouped(portion.partitions, indexes)
        if unserved:  # Nothing of the portion is sent: better none of it than some.
            self.unserved = portion.partitions[unserved[0]]
            self._waiting.append((portion, indexes))
            return
        for target, here in groups.items():
            is_all = len(here) == len(portion.partitions)
            epochs = routing.epochs_of(
                portion.partitions if is_all else map(portion.partitions.__getitem__, here)
            )
            number = self._core.next_number()
            self._asked[number] = portion, here
            yield Ask(target, portion.make(number, epochs, here), self._core.deadline())

    def take(self, ask: Ask, result: Reply | Lost) -> None:
        """Take what has become of a request."""
        portion, indexes = self._asked.pop(ask.request.request)
        if isinstance(result, Lost):
            self.losses.append((ask, result))
            self.reason = result.reason
        elif isinstance(result, Refused):
            self.reason = refused(ask.target, result)
        else:
            self.has_written |= not isinstance(ask.request, READS)
            indexes = portion.take(indexes, result)
        if indexes:
            self._waiting.append((portion, indexes))


def refused(target: Target, refusal: Refused) -> str:
    """Return why, for the next try.

    Raises: ProtocolError when another try would be refused as well.
    """
    if refusal.reason is RefusalReason.TOO_LARGE:
        raise ProtocolError("the node has smaller key or value limits than this client")
    return f"refused by {target.name}: {refusal.reason.name}"
