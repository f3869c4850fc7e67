"""The data plane: what clients ask of a storage process, and its answers.

Every request names partition and epoch; a mismatch is `Refused` before anything is changed, and
the client fetches the newer table. Requests about many keys name for each key the partition's
number as one byte, and either each partition once with its epoch, or a digest of all that
the client believes to be there; all is checked before anything is changed, so a refused request has
changed nothing.

A stored *record* is a version and a value (``record.py``). Clients send values and get records.

Values above `LARGE_VALUE_BYTES` travel in messages that are decoded as views on the receive
buffer (`PutIf`, `FoundLarge`), so that each process copies them once; for small ones a view costs
more than the copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b
from typing import Annotated

import msgspec

REPLY_BYTES_MAX = 8 * 1024 * 1024
"""A reply to a batch stops after this many bytes of values; the client asks for the rest."""

PAGE_BYTES = 1024 * 1024
"""A page of a scan ends with the entry that reaches this size."""

LARGE_VALUE_BYTES = 64 * 1024

ClientId = Annotated[bytes, msgspec.Meta(max_length=16)]
"""What a storage process knows a client by."""

Epochs = list[tuple[int, int]]
"""(partition, epoch) of each partition that a request concerns."""


def epochs_digest(epochs: Iterable[tuple[int, int]]) -> int:
    """Return what stands for all (partition, epoch) of one storage process; never 0.

    A request about many keys brings this instead of up to 256 pairs. If it is not what the storage
    process holds, be it for a partition that does not matter here, the request is refused, and
    comes again with the pairs.
    """
    packed = b"".join(p.to_bytes(2, "big") + e.to_bytes(8, "big") for p, e in sorted(epochs))
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "big") | 1


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


class Condition(IntEnum):
    """When `PutIf` writes."""

    ALWAYS = 0
    ABSENT = 1
    PRESENT = 2
    SAME = 3
    """The entry has the version named."""


class PutIf(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Write one entry if the condition holds: `Done` with count 1.

    If not: `Done` with count 0, or the present entry as `Found` when it should be absent.
    `ttl_ms` is 0 for an entry that stays, below 0 for one that ends when it would have before.
    """

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes
    condition: Condition
    version: bytes
    ttl_ms: int
    value: memoryview


class Delete(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Remove one entry, with a version only that one: `Done` with count 1 or 0."""

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes
    version: bytes


class Take(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Remove one entry and return it: `Found` or `Missing`."""

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes


class Increment(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Add to the number of one entry (0 if missing): `Found` with the new record.

    Refused as NOT_COUNTABLE when it is no number that msgpack holds, or the sum would not be.
    """

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes
    amount: int | float


class GetAll(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Read many entries: `Records` in the order of the keys."""

    request: int
    map: str
    epochs: Epochs
    digest: int
    partitions: bytes
    keys: list[bytes]


class PutAll(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Write many entries: `Done`. Those of one partition get one version.

    `operation` is the number of the first request with these entries; a repeated one keeps it.
    """

    request: int
    map: str
    epochs: Epochs
    digest: int
    partitions: bytes
    keys: list[bytes]
    values: list[bytes]
    ttl_ms: int
    operation: int = 0


class RemoveAll(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Remove many entries: `Done` with how many were there. `operation` as in `PutAll`."""

    request: int
    map: str
    epochs: Epochs
    digest: int
    partitions: bytes
    keys: list[bytes]
    operation: int = 0


class TakeAny(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Remove some entry of these partitions and return it: `Taken` or `Missing`."""

    request: int
    map: str
    epochs: Epochs


class Size(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Count a map's entries: `Done` with the count."""

    request: int
    map: str
    epochs: Epochs


class Clear(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Remove all of a map's entries: `Done` with the count."""

    request: int
    map: str
    epochs: Epochs


class Scan(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """Next page of a map's entries: `Page`.

    The first request names the partitions, and `scan` is 0; the next ones name none and repeat
    the `scan` of the last page. Each partition is delivered as it was when the scan reached it.
    """

    request: int
    map: str
    epochs: Epochs
    scan: int
    with_values: bool


class WithBackup(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """Write, and answer when a backup has it as well.

    Refused as NO_BACKUP, with nothing changed, when no complete backup is named by the table.
    """

    write: Put | PutIf | Delete | Take | Increment | PutAll | RemoveAll

    @property
    def request(self) -> int:
        """The number of the request."""
        return self.write.request


class Flush(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """Wait until the backups of these partitions have all that was written before: `Done`.

    Refused as NO_BACKUP where there should be a backup and is none.
    """

    request: int
    epochs: Epochs


class Survived(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=16):
    """Ask whether a write, named by its version, outlived every promotion: `Done`, count 1 or 0."""

    request: int
    partition: int
    epoch: int
    version: int


class GetUnlessDone(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=17):
    """Read one entry, as `Get`, unless a write of a client has been carried out already.

    If it has, `Done` with its version. `client` and `operation` name the write.
    """

    request: int
    map: str
    partition: int
    epoch: int
    key: bytes
    client: ClientId
    operation: int


class InNameOf(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """Write as another client, under that one's number: the reply's is the same.

    Unlike a client's own, a write whose condition does not hold is not remembered: it may be tried
    again under its number, with another version.
    """

    client: ClientId
    write: PutIf | Delete | WithBackup

    @property
    def request(self) -> int:
        """The number of the request."""
        return self.write.request


class Found(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """The entry's record."""

    request: int
    record: bytes


class FoundLarge(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """As `Found`, for values above `LARGE_VALUE_BYTES`."""

    request: int
    record: memoryview


class Missing(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """There is no such entry."""

    request: int


class Done(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Carried out; `count` entries were concerned.

    `version` is that of the write (``record.py``) as a number, where it concerns one entry; else 0.
    """

    request: int
    count: int
    version: int = 0


class Records(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Records in the order of the keys asked, None for a missing one.

    Shorter than the keys when `REPLY_BYTES_MAX` was reached; never empty for some keys.
    """

    request: int
    records: list[bytes | None]


class Taken(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """An entry that is removed now."""

    request: int
    key: bytes
    record: bytes


class Page(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Entries of a scan.

    `records` is empty if values are not wanted. `scan` is 0 when the scan is complete, else the
    first `finished` of its partitions are, and the last `trailing` keys belong to the next one.
    """

    request: int
    keys: list[bytes]
    records: list[bytes]
    scan: int
    finished: int
    trailing: int


class RefusalReason(IntEnum):
    """Why a request was not carried out; nothing was changed."""

    NOT_OWNER = 1
    WRONG_EPOCH = 2
    SCAN_EXPIRED = 3
    TOO_LARGE = 4
    NOT_COUNTABLE = 5
    NO_BACKUP = 6
    """There is no complete backup to wait for."""
    FORGOTTEN = 7
    """So old a number that its result, if there was one, is no longer kept."""


class Refused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """Not carried out."""

    request: int
    reason: RefusalReason
    partition: int


Request = (
    Get
    | Put
    | PutIf
    | Delete
    | Take
    | Increment
    | GetAll
    | PutAll
    | RemoveAll
    | TakeAny
    | Size
    | Clear
    | Scan
    | WithBackup
    | Flush
    | Survived
    | GetUnlessDone
    | InNameOf
)
Reply = Found | FoundLarge | Missing | Done | Records | Taken | Page | Refused


class Requests(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """What several callers of one client want: answered by `Replies`, one or more."""

    requests: list[Request]


class Replies(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """Answers to some of a `Requests`, in its order."""

    replies: list[Reply]


StorageRequest = Request | Requests
StorageReply = Reply | Replies
