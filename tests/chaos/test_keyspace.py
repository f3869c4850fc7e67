"""Keys in every partition, and two pools of them."""

from __future__ import annotations

from collections import Counter
from random import Random

from grid.chaos.keyspace import KEY_BYTES_MAX, KeySpace
from grid.types import PARTITION_COUNT
from grid.wire.keys import encode_key


def test_every_partition_has_its_keys_in_both_pools() -> None:
    keys = KeySpace(keys_per_partition=2, counters=3)
    for pool in keys.pools:
        counts = Counter(keys.partitions[key] for key in pool)
        assert counts == dict.fromkeys(range(PARTITION_COUNT), 2)
    assert set(keys.pools[0]).isdisjoint(keys.pools[1])
    assert len(keys.all_keys()) == 4 * PARTITION_COUNT + 3


def test_partitions_are_those_of_the_grid() -> None:
    keys = KeySpace(keys_per_partition=1, counters=3)
    assert all(encode_key(key, KEY_BYTES_MAX)[0] == p for key, p in keys.partitions.items())


def test_writers_use_one_pool_and_readers_both() -> None:
    keys, random = KeySpace(keys_per_partition=1), Random(1)
    assert all(keys.to_write(random) in keys.pools[0] for _ in range(50))
    keys.change_pool()
    assert all(keys.to_write(random) in keys.pools[1] for _ in range(50))
    read = {keys.to_read(random) for _ in range(200)}
    assert all(read & set(pool) for pool in keys.pools)
    keys.change_pool()
    assert keys.pool == 0
