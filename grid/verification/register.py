"""One key as a register: which reads were stale, which acknowledged writes are lost. O(n log n).

Theory of operation. A read that shows the value of write x is *stale* if some write y that was
acknowledged before the read began surely followed x, in real time or by version. So for a
moment only two numbers count: the latest begin and the highest version among all writes
acknowledged before it. They are kept as running maxima over the writes in order of their end. The
read at the end, when everything is quiet, is a read like any other; the writes that surely
followed the one it shows are *lost* (the "set-full" checker of Jepsen, for values that may be
overwritten).

What may be dropped without being a fault (an asynchronous write that died with its node, and is
reported) overwrites nothing: it is taken out by the caller, by `excluded`. Which writes have to be
asked about is `blamed`.

What no write explains is *unexplained*: a value never written, refused, not yet begun, or of a
time that is settled and forgotten; or nothing where nobody deleted. Absence can have several
causes, so a read that shows it is stale only if it is so for each of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Container, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from grid.verification.history import ABSENT, Kind, Operation, Outcome


@dataclass(slots=True)
class Faults:
    """What is wrong with the reads of one key."""

    stale: list[Operation] = field(default_factory=list)
    resurrected: list[Operation] = field(default_factory=list)
    """Those of the stale ones whose value had been deleted before."""
    unexplained: list[Operation] = field(default_factory=list)
    """Reads of what no write can have left there."""
    blamed: list[Operation] = field(default_factory=list)
    """Acknowledged writes because of which a read is at fault, each once."""


class Register:
    """The writes to one key: what it was before, what is still open, what was done since."""

    def __init__(self, writes: Sequence[Operation], excluded: Container[Operation] = ()) -> None:
        """Index `writes`; those `excluded` can be seen and overwrite nothing.

        Raises: ValueError when two puts have one value: such a history says nothing.
        """
        self._puts: dict[Hashable, Operation] = {}
        self._absences: list[Operation] = []
        for write in writes:
            if write.outcome is Outcome.REFUSED:
                continue
            if write.kind is Kind.DELETE:
                self._absences.append(write)
            elif self._puts.setdefault(write.value, write) is not write:
                raise ValueError(f"value {write.value!r} was written twice to {write.key!r}")
        # The latest first: it is the likeliest explanation of an absence.
        self._absences.sort(key=lambda write: write.done_s, reverse=True)
        self._overwriting = sorted(
            (write for write in writes if write.is_acknowledged and write not in excluded),
            key=lambda write: write.end_s,
        )
        self._ends = [write.end_s for write in self._overwriting]
        self._begins = list(accumulate((w.begin_s for w in self._overwriting), max))
        self._versions = list(accumulate((w.version for w in self._overwriting), max))

    def explanations(self, read: Operation) -> list[Operation]:
        """Return the writes whose result `read` may show, the likeliest first."""
        if read.value is ABSENT:
            return [write for write in self._absences if write.begin_s <= read.done_s]
        write = self._puts.get(read.value)
        return [write] if write is not None and write.begin_s <= read.done_s else []

    def explanation(self, read: Operation) -> Operation | None:
        """Return the write that `read` shows: one that is not overwritten, if there is one."""
        explanations = self.explanations(read)
        fresh = (write for write in explanations if not self._is_overwritten(write, read.begin_s))
        return next(fresh, explanations[0] if explanations else None)

    def check(self, reads: Sequence[Operation]) -> Faults:
        """Judge all reads of this key."""
        faults = Faults()
        blamed: dict[Operation, None] = {}
        for read in reads:
            explanations = self.explanations(read)
            if not explanations:
                faults.unexplained.append(read)
                blamed.update(dict.fromkeys(self._acknowledged_before(read.begin_s)))
                continue
            if not all(self._is_overwritten(write, read.begin_s) for write in explanations):
                continue
            faults.stale.append(read)
            overwriters = [
                write for each in explanations for write in self._overwriters(each, read.begin_s)
            ]
            blamed.update(dict.fromkeys(overwriters))
            if read.value is not ABSENT and any(w.kind is Kind.DELETE for w in overwriters):
                faults.resurrected.append(read)
        faults.blamed = list(blamed)
        return faults

    def lost(self, read: Operation) -> list[Operation]:
        """Return the acknowledged writes that the last `read`, of a quiet cluster, does not show.

        That is: neither their value nor one of a write that could follow them.
        """
        shown = self.explanation(read)
        if shown is None:
            return list(self._overwriting)
        return [write for write in self._overwriting if write.surely_follows(shown)]

    def _is_overwritten(self, write: Operation, at_s: float) -> bool:
        """Whether something acknowledged before `at_s` surely followed `write`."""
        count = bisect_left(self._ends, at_s)
        if count == 0:
            return False
        if self._begins[count - 1] > write.done_s:
            return True
        return self._versions[count - 1] > write.version > 0

    def _overwriters(self, write: Operation, at_s: float) -> Iterator[Operation]:
        before = self._acknowledged_before(at_s)
        return (other for other in before if other.surely_follows(write))

    def _acknowledged_before(self, at_s: float) -> list[Operation]:
        return self._overwriting[: bisect_left(self._ends, at_s)]


def last_read(key: Hashable, partition: int, value: Hashable, begin_s: float) -> Operation:
    """Return the look at a key when everything is quiet: it began after all else had ended."""
    return Operation(0, key, partition, Kind.READ, value, begin_s, math.inf)
