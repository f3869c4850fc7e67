"""What a write is remembered by: its token, one number that a program may keep or pass on.

A token holds the version of the write, (epoch << 40) + sequence, and its partition. That is all
that is needed to ask later, by any client, whether the write is still there (``safety.py``).
"""

from __future__ import annotations

from typing import NewType

from grid.types import PARTITION_COUNT, PartitionId

WriteToken = NewType("WriteToken", int)
"""What `put` returns, for `survived`."""

_PARTITION_BITS = 8
_VERSION_BITS = 64


def pack_token(version: int, partition_id: int) -> WriteToken:
    """Return the token of the write with this version in this partition."""
    return version << _PARTITION_BITS | partition_id  # type: ignore[return-value]  # NewType would be one more call


def unpack_token(token: WriteToken) -> tuple[int, PartitionId]:
    """Return version and partition.

    Raises: ValueError for what `put` cannot have returned.
    """
    if type(token) is not int or not 0 < token >> _PARTITION_BITS < 1 << _VERSION_BITS:
        raise ValueError(f"a token is what put() has returned, not {token!r}")
    return token >> _PARTITION_BITS, PartitionId(token % PARTITION_COUNT)
