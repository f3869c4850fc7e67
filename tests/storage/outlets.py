"""Copies that only write down what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid.storage.changes import AnyChange, Change, Changes, Cleared
from grid.storage.replies import Held
from grid.storage.store import Store


@dataclass(eq=False)
class Notes:
    """The changes for one process, as an outlet of each of its copies."""

    told: list[AnyChange] = field(default_factory=list)
    at_risk: int = 0
    size_bytes: int = 0

    @property
    def destination(self) -> object:
        return self

    def append(self, change: Change, size_bytes: int, at_risk: int) -> None:
        self.told.append(change)
        self.at_risk += at_risk
        self.size_bytes += size_bytes

    def append_many(self, change: Changes | Cleared, size_bytes: int, at_risk: int) -> None:
        self.told.append(change)
        self.at_risk += at_risk
        self.size_bytes += size_bytes


def noting(store: Store, *partition_ids: int) -> Notes:
    """Let copies of these partitions, all in one process, be told from now on."""
    notes = Notes()
    for p in partition_ids:
        held = store.partitions.by_id[p]
        held.outlets = (*held.outlets, notes)
    return notes


def protect(store: Store, *partition_ids: int) -> None:
    """Let these partitions have a complete backup."""
    store.protects = True
    for p in partition_ids:
        store.partitions.by_id[p].is_protected = True


def confirm(store: Store, partition_id: int = 1, sequence: int | None = None) -> None:
    """Let the copies have all writes, or those up to one."""
    held = store.partitions.by_id[partition_id]
    held.confirm(held.sequence if sequence is None else sequence)


def is_over(held: Held) -> bool:
    """Tell whether a reply can be sent: as a call, since it changes between two looks."""
    return held.is_over
