"""Bundles: the modules that tasks need, as bytes that nobody here looks into, and who has which.

A task names its bundle by a digest of the content. A node that does not have it refuses the task
(`Outcome.CODE_MISSING`), and its submitter sends both: so a bundle travels to a node once, whoever
submits. The node gives it to each worker once.

Not here: what is in a bundle (``client/code/bundle.py``), and what a worker does with it
(``process/shipped_modules.py``).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from grid.executor.messages import ShipCode
from grid.types import NodeId

K = TypeVar("K")
T = TypeVar("T")

DIGEST_BYTES = 16

BUNDLES_MAX = 64
BUNDLES_BYTES_MAX = 64 * 1024 * 1024
"""What a node keeps of them, and each of its workers; the longest unused goes first."""

SHIPPED_MAX = 1024
"""Bundles that a submitter remembers to have sent to one node."""

EVICTIONS_MAX = 8
"""So often a node may have dropped a task's bundle before the task got there."""


@dataclass(frozen=True, slots=True)
class Code:
    """A bundle and its digest."""

    digest: bytes
    bundle: bytes


def code_of(bundle: bytes) -> Code:
    """Return the bundle with its digest."""
    return Code(hashlib.blake2b(bundle, digest_size=DIGEST_BYTES).digest(), bundle)


class Shelf(Generic[K, T]):
    """What was put here last or used last, by its key, within a number and a size.

    What is on it follows from the calls alone: two that get the same calls hold the same.
    """

    def __init__(self, count_max: int = BUNDLES_MAX, bytes_max: int = BUNDLES_BYTES_MAX) -> None:
        """Start empty."""
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._items: OrderedDict[K, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many are on it."""
        return len(self._items)

    def put(self, key: K, item: T, size: int) -> None:
        """Keep an item that counts for `size` bytes; the longest unused ones may have to go."""
        if key in self._items:
            self._bytes -= self._items.pop(key)[1]
        self._items[key] = (item, size)
        self._bytes += size
        while len(self._items) > self._count_max or self._bytes > self._bytes_max:
            _, (_, dropped_bytes) = self._items.popitem(last=False)
            self._bytes -= dropped_bytes

    def get(self, key: K) -> T | None:
        """Return an item, which is used by that; None if it is not here."""
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        return found[0]


class Shipments:
    """How often one submitter has sent which bundle to which node."""

    def __init__(self) -> None:
        """Start with none."""
        self._counts: dict[NodeId, dict[bytes, int]] = {}

    def last(self, node_id: NodeId, code: Code | None) -> int:
        """Return the number of the shipment before a task that is sent there now; 0: none."""
        return 0 if code is None else self._counts.get(node_id, {}).get(code.digest, 0)

    def missing(self, node_id: NodeId, code: Code, shipment: int) -> list[ShipCode]:
        """A node lacks the bundle of a task that came after `shipment`.

        Returns: the bundle, to be sent, unless that was done for another task meanwhile.
        """
        if shipment != self.last(node_id, code):
            return []
        counts = self._counts.setdefault(node_id, {})
        if len(counts) >= SHIPPED_MAX:
            counts.clear()  # At worst some of them are sent once more.
        counts[code.digest] = shipment + 1
        return [ShipCode(code.bundle)]

    def forget(self, node_id: NodeId) -> None:
        """What was on its way to a node may not have arrived."""
        self._counts.pop(node_id, None)
