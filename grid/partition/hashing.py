"""From hashed bytes to a partition: Redis Cluster's slots, 64 to a partition.

Source: Redis Cluster specification, "Key distribution model" and "Hash tags": CRC16
(XMODEM) modulo 16,384; when the key holds ``{...}`` with something in it, only the part
between the first ``{`` and the next ``}`` is hashed, so that related keys live together.
"""

from __future__ import annotations

from binascii import crc_hqx

from grid.types import PartitionId

SLOT_COUNT = 16_384
SLOTS_PER_PARTITION = 64


def partition_of(hashed: bytes) -> PartitionId:
    """Return the partition of a key's hashed bytes (UTF-8 of a str, a bytes key itself)."""
    start = hashed.find(b"{")
    if start >= 0:
        end = hashed.find(b"}", start + 1)
        if end > start + 1:
            hashed = hashed[start + 1 : end]
    return PartitionId((crc_hqx(hashed, 0) & 0x3FFF) >> 6)
