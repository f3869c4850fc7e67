"""The keys of the workload: several in every partition, in two pools, and some counters.

Writers use one pool at a time and change to the other when a node is killed: so nobody overwrites
what the kill may have lost before it is looked at, and losses are counted exactly.
"""

from __future__ import annotations

from itertools import count
from random import Random

from grid.types import PARTITION_COUNT
from grid.wire.keys import encode_key

KEYS_PER_PARTITION = 16
COUNTERS = 64
KEY_BYTES_MAX = 64
POOLS = 2


class KeySpace:
    """All keys, and where they live. `pool` is the one that writers use now."""

    def __init__(
        self, keys_per_partition: int = KEYS_PER_PARTITION, counters: int = COUNTERS
    ) -> None:
        """Find `keys_per_partition` keys for each partition and pool."""
        self.pool = 0
        self.pools: list[list[str]] = [[] for _ in range(POOLS)]
        self.partitions: dict[str, int] = {}
        room = [POOLS * keys_per_partition] * PARTITION_COUNT
        left = sum(room)
        for number in count():
            key = f"key-{number}"
            partition, _ = encode_key(key, KEY_BYTES_MAX)
            if room[partition]:
                room[partition] -= 1
                left -= 1
                self.partitions[key] = partition
                self.pools[room[partition] % POOLS].append(key)
            if not left:
                break
        self.counters = [f"count-{number}" for number in range(counters)]
        for key in self.counters:
            self.partitions[key], _ = encode_key(key, KEY_BYTES_MAX)

    def change_pool(self) -> None:
        """Have all later writes go to the other pool."""
        self.pool = (self.pool + 1) % POOLS

    def to_write(self, random: Random) -> str:
        """Return a key of the pool in use."""
        return random.choice(self.pools[self.pool])

    def to_read(self, random: Random) -> str:
        """Return a key of any pool."""
        return random.choice(random.choice(self.pools))

    def all_keys(self) -> list[str]:
        """Return every key, counters included."""
        return list(self.partitions)
