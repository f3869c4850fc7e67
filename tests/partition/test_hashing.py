"""Keys to partitions: the slots that Redis Cluster has published, 64 to a partition."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.partition.hashing import SLOT_COUNT, SLOTS_PER_PARTITION, partition_of, partitions_of
from grid.types import PARTITION_COUNT

repeatable = settings(derandomize=True, deadline=None, max_examples=200)


def crc16_bit_by_bit(data: bytes) -> int:
    """CRC16-XMODEM as the specification defines it: polynomial 1021, nothing reflected."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),
        (b"foo", 12182),
        (b"bar", 5061),
        (b"hello", 866),
        (b"", 0),
    ],
)
def test_key_lands_in_the_published_slot(key: bytes, slot: int) -> None:
    assert crc16_bit_by_bit(key) % SLOT_COUNT == slot
    assert partition_of(key) == slot // SLOTS_PER_PARTITION


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"{user1000}.followers", b"user1000"),
        (b"foo{}{bar}", b"foo{}{bar}"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"{}", b"{}"),
        (b"{", b"{"),
        (b"}{", b"}{"),
        (b"}foo{bar", b"}foo{bar"),
        (b"}{foo}", b"foo"),
        (b"foo}{bar}", b"bar"),
    ],
)
def test_only_the_first_hash_tag_is_hashed(key: bytes, hashed: bytes) -> None:
    assert partition_of(key) == crc16_bit_by_bit(hashed) % SLOT_COUNT // SLOTS_PER_PARTITION


@repeatable
@given(st.binary().filter(lambda key: b"{" not in key))
def test_key_without_a_tag_is_hashed_whole(key: bytes) -> None:
    assert partition_of(key) == crc16_bit_by_bit(key) % SLOT_COUNT // SLOTS_PER_PARTITION


@repeatable
@given(
    st.binary(min_size=1).filter(lambda tag: b"}" not in tag),
    st.binary().filter(lambda text: b"{" not in text),
    st.binary(),
)
def test_keys_of_one_tag_live_together(tag: bytes, before: bytes, after: bytes) -> None:
    assert partition_of(before + b"{" + tag + b"}" + after) == partition_of(b"{" + tag + b"}")


def test_every_partition_is_used_evenly() -> None:
    counts = [0] * PARTITION_COUNT
    for number in range(100 * PARTITION_COUNT):
        counts[partition_of(f"key-{number}".encode())] += 1
    assert min(counts) > 50
    assert max(counts) < 150


@repeatable
@given(st.lists(st.text(st.sampled_from("ab{}")).map(str.encode)))
def test_a_batch_has_the_partitions_of_its_keys(keys: list[bytes]) -> None:
    expected = [partition_of(key) for key in keys]
    assert partitions_of(keys, has_tags=True) == expected
    if b"{" not in b"".join(keys):
        assert partitions_of(keys, has_tags=False) == expected
