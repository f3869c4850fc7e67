"""One key as a counter that is incremented by one: was each increment applied once, and kept?

The sums that come back are as good as versions: no two are equal, and of two increments of which
one ended before the other began, the later has the higher sum. At the end the counter shows at
least the acknowledged increments and at most those of unknown outcome besides. An increment of
unknown outcome that has not been seen yet may still come, so it is kept.

A counter of a partition that was lost starts anew at whatever it shows then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from grid.verification.history import ABSENT, Operation, Outcome


@dataclass(slots=True)
class CounterFaults:
    """What is wrong with one counter."""

    missing: int = 0
    """Acknowledged increments that the last read does not show."""
    applied_twice: int = 0
    """By how much the last read exceeds what was ever asked for."""
    reordered: list[Operation] = field(default_factory=list)
    """Increments whose sum is not above that of one acknowledged before they began."""
    duplicated: list[Operation] = field(default_factory=list)
    """Increments that returned a sum that another had returned."""


@dataclass(slots=True)
class Counter:
    """A counter between two looks at it in quiet: what it showed, what may still come."""

    shown: int = 0
    open: int = 0
    partition: int = -1
    """Known from its first increment on."""

    def is_doubtful(self, acknowledged: Sequence[Operation], shown: int) -> bool:
        """Whether some of the increments acknowledged since then are lost, by what it shows now.

        Others of unknown outcome may stand in for them; then some sum has come back twice.
        """
        faults = CounterFaults()
        self._check_sums(acknowledged, faults)
        is_short = shown < self.shown + len(acknowledged)
        return is_short or bool(faults.duplicated or faults.reordered)

    def settle(
        self, operations: Sequence[Operation], shown: int, *, was_lost: bool
    ) -> CounterFaults:
        """Judge what was done since the last call, by what the counter shows now."""
        faults = CounterFaults()
        acknowledged = [one for one in operations if one.is_acknowledged]
        self.open += sum(one.outcome is Outcome.UNKNOWN for one in operations)
        if was_lost:
            self.shown = shown
            return faults
        least = self.shown + len(acknowledged)
        self._check_sums(acknowledged, faults)
        faults.missing = max(0, least - shown)
        surplus = max(0, shown - least)
        faults.applied_twice = max(0, surplus - self.open)
        self.open -= min(self.open, surplus)
        self.shown = shown
        return faults

    def _check_sums(self, acknowledged: Sequence[Operation], faults: CounterFaults) -> None:
        known = [one for one in acknowledged if one.value is not ABSENT]
        by_end = sorted(known, key=lambda one: one.end_s)
        highest = self.shown
        seen: set[int] = set()
        ended = 0
        for one in sorted(known, key=lambda one: one.begin_s):
            while by_end[ended].end_s < one.begin_s:
                highest = max(highest, _sum_of(by_end[ended]))
                ended += 1
            total = _sum_of(one)
            if total in seen:
                faults.duplicated.append(one)
            elif total <= highest:
                faults.reordered.append(one)
            seen.add(total)


def _sum_of(increment: Operation) -> int:
    assert isinstance(increment.value, int), "an acknowledged increment has returned a number"
    return increment.value
