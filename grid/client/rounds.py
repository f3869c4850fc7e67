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
from typing import NamedTuple, Protocol

from grid.client.routing import Routing, Target
from grid.client.steps import Ask, Lost
from grid.errors import ProtocolError
from grid.storage.messages import Get, GetAll, RefusalReason, Refused, Reply, Request, Scan, Size

READS = (Get, GetAll, Size, Scan)

MakePortion = Callable[[int, "Claim", Sequence[int]], Request]
"""(request number, claim, indexes of its items) -> request."""


class Claim(NamedTuple):
    """What a request says of the partitions: each with its epoch, or the digest of all."""

    epochs: list[tuple[int, int]]
    digest: int


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
        self._waiting: deque[tuple[Portion, Sequence[int]]] = deque()
        self._asked: dict[int, tuple[Portion, Sequence[int]]] = {}
        self.losses: list[tuple[Ask, Lost]] = []
        """Of this round."""
        self.unserved: int | None = None
        """A partition that had no target in this round."""
        self.reason = ""
        """Why something has to be repeated."""
        self.has_written = False
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

    def asks(self, routing: Routing) -> Iterator[Ask]:
        """Begin a round: yield requests until there is no more work, or there is trouble."""
        self.losses, self.unserved, self.reason = [], None, ""
        again = self._waiting
        self._waiting = deque()
        while True:
            if again:
                portion, indexes = again.popleft()
            elif self.troubled:
                return
            elif self._waiting:  # Rests of replies that stopped early.
                portion, indexes = self._waiting.popleft()
            else:
                # Not before it is needed: it is encoded while the one before is carried out.
                following = next(self._portions, None)
                if following is None:
                    self._is_exhausted = True
                    return
                portion, indexes = following, range(len(following.partitions))
            groups, unserved = routing.grouped(portion.partitions, indexes)
            if unserved:  # Nothing of the portion is sent: better none of it than some.
                self.unserved = portion.partitions[unserved[0]]
                self._waiting.append((portion, indexes))
                continue
            for target, here in groups.items():
                number = self._core.next_number()
                self._asked[number] = portion, here
                claim = self._claim(routing, target, portion, here)
                yield Ask(target, portion.make(number, claim, here), self._core.deadline())

    def _claim(
        self, routing: Routing, target: Target, portion: Portion, indexes: Sequence[int]
    ) -> Claim:
        if portion.by_digest and not self._was_refused:
            return Claim([], routing.digest_of(target))
        is_all = len(indexes) == len(portion.partitions)
        places = portion.partitions if is_all else map(portion.partitions.__getitem__, indexes)
        return Claim(routing.epochs_of(places), 0)

    def take(self, ask: Ask, result: Reply | Lost) -> None:
        """Take what has become of a request."""
        portion, indexes = self._asked.pop(ask.request.request)
        if isinstance(result, Lost):
            self.losses.append((ask, result))
            self.reason = result.reason
        elif isinstance(result, Refused):
            self._was_refused = True
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
