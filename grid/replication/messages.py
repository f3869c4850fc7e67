"""What storage processes of different nodes say to each other about copies.

The network processes in between carry it (`ForStorage`) without looking into it.
"""

from __future__ import annotations

import msgspec

from grid.partition.messages import HoldingRole
from grid.storage.changes import Change, Changes, Cleared
from grid.storage.messages import Done, Found, Missing


class CopyTarget(msgspec.Struct, array_like=True, frozen=True):
    """Where a copy of a primary's partition is, or is to be."""

    node_id: bytes
    storage_index: int
    is_backup: bool
    """Else it is filled to take over a role."""
    is_synced: bool
    """The table says that it is complete."""


class Assignment(msgspec.Struct, array_like=True, frozen=True):
    """What the table gives to a storage process; `copies` only where it is the primary.

    `primary` is the node that is.
    """

    partition: int
    epoch: int
    role: HoldingRole
    primary: bytes
    copies: list[CopyTarget]


class FillBegin(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Forget your copy of this partition: it comes anew. `sequence` is the primary's now."""

    partition: int
    epoch: int
    sequence: int
    history: list[tuple[int, int]]


class FillPage(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Entries of the copy; `dates` are (index, milliseconds left) of those that end."""

    partition: int
    epoch: int
    map: str
    keys: list[bytes]
    records: list[bytes]
    dates: list[tuple[int, int]]


class FillEnd(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """The copy is complete; `results` are (client, highest forgotten, (number, result))."""

    partition: int
    epoch: int
    sequence: int
    results: list[tuple[bytes, int, list[tuple[int, Done | Found | Missing | None]]]]


class Digest(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """What a complete copy is at this point of the stream."""

    partition: int
    epoch: int
    sequence: int
    entries: int
    digest: int


Item = Change | Changes | Cleared | FillBegin | FillPage | FillEnd | Digest


class Parcel(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Items in the order in which they happened, for all partitions of one pair of processes.

    `number` counts the parcels from 1. `entries` is how many writes to complete copies this and
    all earlier parcels hold, and `allowance` the number that the sender will not exceed, in what
    it acknowledges to clients, before a receipt for a later parcel: so the receiver knows how
    many writes are lost with the sender, at most.
    """

    number: int
    entries: int
    allowance: int
    items: list[Item]
    stream: int = 0
    """Which of the sender's it belongs to: each is numbered from 1, a later one is higher."""


class Receipt(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """All parcels up to this number have been applied.

    `is_gap`: a later one has arrived; send again what comes next. `broken`: partitions whose
    items were not applied, since there is no copy here that they fit to.
    """

    number: int
    is_gap: bool
    broken: list[int]
    stream: int = 0
    """Of the parcel that this answers."""


StreamMessage = Parcel | Receipt

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[StreamMessage] = msgspec.msgpack.Decoder(StreamMessage)
encode_stream = _encoder.encode
decode_stream = _decoder.decode
"""Raises msgspec.MsgspecError for anything else."""


class ForStorage(msgspec.Struct, array_like=True, frozen=True, tag=40):
    """Node to node: for the storage process `index`, from the sender's `sender_index`."""

    index: int
    sender_index: int
    body: bytes
