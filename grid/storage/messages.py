"""The data plane: what clients ask of a storage process, and its answers.

Every request names partition and epoch; a mismatch is `Refused` before anything is changed,
and the client fetches the newer table. In a batch all groups are checked first, so a refused
batch has changed nothing.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

REPLY_BYTES_MAX = 8 * 1024 * 1024
"""A reply to a batch stops after this many bytes of values; the client asks for the rest."""

PAGE_BYTES = 1024 * 1024
"""A page of a scan ends with the entry that reaches this size."""


class Get(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Read one entry: `Found` or `Missing`."""

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes


class Put(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Write one entry: `Done`."""

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes
    value: bytes


class Delete(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Remove one entry: `Done` with count 1, or 0 when it was not there."""

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes


class GetAll(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Read many entries, grouped as (partition, epoch, keys): `Values` in the same order."""

    request: int
    map: str
    groups: list[tuple[int, int, list[bytes]]]


class PutAll(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Write many entries, grouped as (partition, epoch, keys, values): `Done`."""

    request: int
    map: str
    groups: list[tuple[int, int, list[bytes], list[bytes]]]


class Size(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Count a map's entries in (partition, epoch) pairs: `Done` with the count."""

    request: int
    map: str
    groups: list[tuple[int, int]]


class Scan(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """Next page of a map's entries in one partition.

    `scan` is 0 for the first page, then what the last `Page` said. The pages together are
    the partition as it was at the first one.
    """

    request: int
    map: str
    partition: int
    epoch: int
    scan: int
    with_values: bool


class Found(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """The entry's value."""

    request: int
    value: bytes


class Missing(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """There is no such entry."""

    request: int


class Done(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Applied; `count` entries were concerned."""

    request: int
    count: int


class Values(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Values in the order of the keys asked, None for a missing one.

    Shorter than the keys when `REPLY_BYTES_MAX` was reached; never empty for some keys.
    """

    request: int
    values: list[bytes | None]


class Page(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Entries of a scan; `scan` is 0 when it is complete. Values are empty if not wanted."""

    request: int
    keys: list[bytes]
    values: list[bytes]
    scan: int


class RefusalReason(IntEnum):
    """Why a request was not carried out; nothing was changed."""

    NOT_OWNER = 1
    WRONG_EPOCH = 2
    SCAN_EXPIRED = 3
    TOO_LARGE = 4


class Refused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Not carried out."""

    request: int
    reason: RefusalReason
    partition: int


StorageRequest = Get | Put | Delete | GetAll | PutAll | Size | Scan
StorageReply = Found | Missing | Done | Values | Page | Refused
