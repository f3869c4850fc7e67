"""What a checker has found: counts, a verdict, and some examples in words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

EXAMPLES_MAX = 20


@dataclass(slots=True)
class Findings:
    """Counts over operations, one of many keys being many; they add up over rounds."""

    operations: int = 0
    acknowledged: int = 0
    """Acknowledged writes."""
    applies: int = 0
    """Those of `operations` that were functions at the data."""
    applies_acknowledged: int = 0
    lost: int = 0
    """Acknowledged writes that are neither there nor overwritten: reported or not."""
    lost_reported: int = 0
    lost_unreported: int = 0
    lost_with_partition: int = 0
    """Those of `lost_reported` whose whole partition was lost and accepted."""
    sync_lost: int = 0
    """Those of `lost` that a backup had, and that one failure alone has lost."""
    sync_lost_excused: int = 0
    """The same where more than one failure was open."""
    false_alarms: int = 0
    """Writes that are there although they were said not to have survived. Counted, no violation."""
    stale_reads: int = 0
    """Reads of what had been overwritten or deleted before they began."""
    resurrected: int = 0
    """Those of `stale_reads` that showed a deleted value."""
    impossible_reads: int = 0
    """Reads of values that nobody can have stored."""
    not_linearizable: int = 0
    """Keys for whose operations no order exists."""
    reordered: int = 0
    """Writes (increments) with a lower version (sum) than one acknowledged before they began."""
    duplicated: int = 0
    """Writes with the version, increments with the sum of another."""
    two_owners: int = 0
    """Writes acknowledged by a second node within an epoch of their partition."""
    applied_twice: int = 0
    """By how much counters exceed what was asked of them."""
    searched: int = 0
    """Keys with an order of operations looked for; the others are below."""
    search_gave_up: int = 0
    search_skipped: int = 0
    """Too many operations, or an asynchronous write under way while a node died."""
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost quietly or against a promise, and no read was wrong."""
        return not any(getattr(self, name) for name in VIOLATIONS)

    @property
    def verdict(self) -> str:
        """``"clean"`` or ``"violated"``."""
        return "clean" if self.is_clean else "violated"

    def add(self, other: Findings) -> None:
        """Add the counts of another round; of examples the first are kept."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for example in other.examples:
            self.explain(example)

    def explain(self, example: str) -> None:
        """Keep an example if there is room."""
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(example)

    def counts(self) -> dict[str, int]:
        """Return all counts by name."""
        return {name: getattr(self, name) for name in _COUNTS}


VIOLATIONS = (
    "lost_unreported",
    "sync_lost",
    "stale_reads",
    "impossible_reads",
    "not_linearizable",
    "reordered",
    "duplicated",
    "two_owners",
    "applied_twice",
)
"""Counts of which none may be above zero."""

_COUNTS = tuple(f.name for f in dataclasses.fields(Findings) if f.name != "examples")
