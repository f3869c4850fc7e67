"""What members say to each other by datagram. Layout only; the protocol is in ``swim.py``.

Sizes: a `MemberRecord` is about 60 bytes on the wire; `UPDATES_BYTES_MAX` keeps every
datagram under 1,200 bytes with its envelope (``wire/datagram.py``).
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from grid.types import Address, NodeId

UPDATES_BYTES_MAX = 900
"""Budget for the piggybacked records of one datagram, out of 1,200."""


class MemberState(IntEnum):
    """The four states of a member (SWIM section 4.2, plus an announced leave)."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3

    @property
    def is_gone(self) -> bool:
        """Whether this state is final for a boot id."""
        return self >= MemberState.DEAD


class MemberRecord(msgspec.Struct, array_like=True, frozen=True):
    """One claim about one member; which claim wins is decided in ``members.py``."""

    id: bytes
    name: str
    host: str
    port: int
    pid: int
    storage_processes: int
    workers: int
    incarnation: int
    state: MemberState

    @property
    def node_id(self) -> NodeId:
        """The boot id, typed."""
        return NodeId(self.id)

    @property
    def address(self) -> Address:
        """Where the member answers."""
        return Address(self.host, self.port)


class Ping(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Are you there? Answered by `Ack` with the same `probe`."""

    probe: int
    report: bytes
    updates: list[MemberRecord]


class Ack(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """I am here."""

    probe: int
    report: bytes
    updates: list[MemberRecord]


class Sync(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """A slice of my member list; the first contact, and the periodic repair.

    `nonce`, if not 0, asks for the receiver's list; the answer carries it as `echo`, which
    proves that it is no recording. A list longer than one datagram is sent as several (the
    last one asks); records merge one by one, so order and loss do not matter.
    """

    nonce: int
    echo: int
    report: bytes
    updates: list[MemberRecord]


class Beacon(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Multicast: I exist. Whoever does not know me answers with `Sync`."""

    sender: MemberRecord
    report: bytes


MembershipMessage = Ping | Ack | Sync | Beacon
