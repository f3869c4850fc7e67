"""From hashed bytes to a partition: Redis Cluster's slots, 64 to a partition.

Source: Redis Cluster specification, "Key distribution model" and "Hash tags": CRC16
(XMODEM) modulo 16,384; when the key holds ``{...}`` with something in it, only the part
between the first ``{`` and the next ``}`` is hashed, so that related keys live together.

Every operation of a client comes through here, so slot and partition are one expression instead
of a modulo and a division: the low 14 bits of the CRC are the slot, the upper 8 of these the
partition.

Not here: which bytes of a key are hashed (``wire/keys.py``).
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence

from grid.types import PartitionId

SLOT_COUNT = 16_384
SLOTS_PER_PARTITION = 64

TAG_OPENS = ord("{")
"""A number, since ``b"{" in data`` takes ten times as long: it tries to read a number first."""


def partition_of(hashed: bytes) -> PartitionId:
    """Return the partition of a key's hashed bytes (UTF-8 of a str, a bytes key itself)."""
    if TAG_OPENS in hashed:
        start = hashed.find(b"{") + 1
        end = hashed.find(b"}", start)
        if end > start:
            hashed = hashed[start:end]
    # Calling PartitionId would take half as long again.
    return crc_hqx(hashed, 0) >> 6 & 0xFF  # type: ignore[return-value]


def partitions_of(hashed: Sequence[bytes], *, has_tags: bool) -> list[int]:
    """Return the partition of each key's hashed bytes, in order.

    `has_tags`: whether any of them holds a ``{``. The caller finds that out in one search
    through all of them.
    """
    if has_tags:
        return [partition_of(data) for data in hashed]
    return [crc_hqx(data, 0) >> 6 & 0xFF for data in hashed]
