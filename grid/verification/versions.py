"""Versions grow in real time, none is given twice, and one node at a time gives them.

A version is (epoch, sequence) of a partition. Within a partition a write that began after another
had been acknowledged has the higher version; two writes never have the same; all versions of one
epoch come from one node. State is kept per partition, and per partition and epoch, never per
write: what was settled counts by its highest version.

Not here: what values say (``register.py``). Writes without a version (of many entries at once, or
of clients that are not told) are not judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from grid.verification.history import Operation


@dataclass(slots=True)
class VersionFaults:
    """What is wrong, as the writes at which it shows."""

    reordered: list[Operation] = field(default_factory=list)
    duplicated: list[Operation] = field(default_factory=list)
    two_owners: list[Operation] = field(default_factory=list)


class VersionOrder:
    """What is known of the versions of all partitions so far."""

    def __init__(self) -> None:
        """Know nothing."""
        self._highest: dict[int, int] = {}
        self._owners: dict[tuple[int, int], Hashable] = {}

    def check(self, operations: Iterable[Operation]) -> VersionFaults:
        """Judge the acknowledged writes since the last call, all of which began after it."""
        faults = VersionFaults()
        of_partition: dict[int, list[Operation]] = defaultdict(list)
        for write in operations:
            if write.is_acknowledged and write.version > 0:
                of_partition[write.partition].append(write)
        for partition, writes in sorted(of_partition.items()):
            self._check_partition(partition, writes, faults)
        return faults

    def _check_partition(
        self, partition: int, writes: list[Operation], faults: VersionFaults
    ) -> None:
        by_end = sorted(writes, key=lambda write: write.end_s)
        highest = self._highest.get(partition, 0)
        seen: set[int] = set()
        ended = 0
        for write in sorted(writes, key=lambda write: write.begin_s):
            while by_end[ended].end_s < write.begin_s:
                highest = max(highest, by_end[ended].version)
                ended += 1
            if write.version in seen or write.version == highest:
                faults.duplicated.append(write)
            elif write.version < highest:
                faults.reordered.append(write)
            seen.add(write.version)
            if write.owner is not None:
                place = (partition, write.epoch)
                if self._owners.setdefault(place, write.owner) != write.owner:
                    faults.two_owners.append(write)
        self._highest[partition] = max(highest, *seen)
