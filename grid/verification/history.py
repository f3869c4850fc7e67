"""What a client did and saw: the words in which a history is told.

All times of a history come from one clock. Of two operations one is *before* the other if it ended
before the other began (strictly); all others are concurrent.

Values are unique: no two writes of a history store the same value under one key, so a read names
the write that it saw. Not here: any judgement (``register.py`` and the others).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum

EPOCH_SHIFT = 40
"""A version is ``(epoch << 40) + sequence``."""

ABSENT = None
"""What a read shows where no value is, and what a delete leaves."""


class Kind(IntEnum):
    """What was asked for."""

    PUT = 0
    DELETE = 1
    READ = 2
    INCREMENT = 3
    APPLY = 4
    """An increment, by a function that ran at the data."""


class Outcome(IntEnum):
    """What the client was told."""

    ACKNOWLEDGED = 0
    UNKNOWN = 1
    """No answer: it may take effect at any time after it began, or never."""
    REFUSED = 2
    """Not applied, said the cluster; nobody may ever see it."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation on one key by one client; two are equal only if they are the same.

    `value`: what was written or read; of an increment the sum that came back (`ABSENT`: it was
    applied, and nobody knows the sum). `end_s` counts for
    acknowledged operations only. `is_sync`: acknowledged not before a backup had it. `version`
    (0: not known) and `owner` (who acknowledged; None: not known) belong to acknowledged writes.
    """

    client: int
    key: Hashable
    partition: int
    kind: Kind
    value: Hashable
    begin_s: float
    end_s: float = math.inf
    outcome: Outcome = Outcome.ACKNOWLEDGED
    is_sync: bool = False
    version: int = 0
    owner: Hashable = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the client was told that it is done."""
        return self.outcome is Outcome.ACKNOWLEDGED

    @property
    def is_increment(self) -> bool:
        """Whether it adds one to a counter, however."""
        return self.kind in (Kind.INCREMENT, Kind.APPLY)

    @property
    def epoch(self) -> int:
        """The epoch of its version."""
        return self.version >> EPOCH_SHIFT

    @property
    def done_s(self) -> float:
        """When it had taken effect at the latest: for ever open if nobody said so."""
        return self.end_s if self.outcome is Outcome.ACKNOWLEDGED else math.inf

    def surely_follows(self, other: Operation) -> bool:
        """Whether this write certainly came after `other`: in real time, or by its version."""
        if self.begin_s > other.done_s:
            return True
        return self.version > other.version > 0

    def describe(self) -> str:
        """Return it in words, for a person who looks for the mistake."""
        word = self.kind.name.lower() + (" (sync)" if self.is_sync else "")
        version = f", version {self.epoch}:{self.version % (1 << EPOCH_SHIFT)}"
        end = f"{self.end_s:.6f}" if self.is_acknowledged else self.outcome.name.lower()
        return (
            f"{word} {self.key!r} = {self.value!r} by client {self.client} "
            f"[{self.begin_s:.6f} .. {end}]{version if self.version else ''}"
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """A partition that was lost, said aloud, and then accepted: all its entries went.

    `begin_s`: when its last copy died, at the earliest; `end_s`: when the loss was accepted.
    """

    partition: int
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Disruption:
    """A time in which nodes died, stood still or were cut off.

    An asynchronous write that is under way then may be applied, seen, lost with its node, and
    applied again when its client repeats it; the search for a linear order does not judge it.
    """

    begin_s: float
    end_s: float


def initial(key: Hashable, partition: int) -> Operation:
    """Return the state of a key before anybody wrote it, as the oldest of all deletes."""
    return Operation(0, key, partition, Kind.DELETE, ABSENT, -math.inf, -math.inf)


def emptied(key: Hashable, loss: Loss) -> Operation:
    """Return the loss of a partition as what it is for one of its keys: a delete."""
    return Operation(0, key, loss.partition, Kind.DELETE, ABSENT, loss.begin_s, loss.end_s)
