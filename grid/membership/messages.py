"""What members say to each other. Layout only; the protocol is in ``swim.py``.

By datagram: everything but `PushPull`, which is exchanged over an authenticated connection of
its own. Sizes: a `MemberRecord` is 60 to 120 bytes on the wire; `UPDATES_BYTES_MAX` keeps every
datagram under 1,200 bytes with its envelope (``wire/datagram.py``).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from grid.types import NODE_ID_BYTES, Address, NodeId

UPDATES_BYTES_MAX = 900
"""Budget for the piggybacked records of one datagram, out of 1,200."""

HOSTS_MAX = 4
"""Addresses a node tells of itself: one for each LAN it stands in."""

NAME_CHARACTERS_MAX = 128
"""Longer than a configured name, which may get a number added."""

# What no correct node sends is refused when it is decoded: who has the secret may still be broken.
BootId = Annotated[bytes, Meta(min_length=NODE_ID_BYTES, max_length=NODE_ID_BYTES)]
Host = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._-]+$")]
Hosts = Annotated[tuple[Host, ...], Meta(min_length=1, max_length=HOSTS_MAX)]
Count = Annotated[int, Meta(ge=0, le=1 << 31)]


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
    """One claim about one member; which claim wins is decided in ``members.py``.

    `hosts`: its addresses, the one to use first. `accuser`: in a suspicion, the boot id of the
    member whose own probe failed, so that independent suspicions can be counted.
    """

    id: BootId
    name: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)]
    hosts: Hosts
    port: Annotated[int, Meta(ge=1, le=65_535)]
    pid: Count
    storage_processes: Count
    workers: Count
    incarnation: Annotated[int, Meta(ge=0, le=1 << 62)]
    state: MemberState
    accuser: Annotated[bytes, Meta(max_length=NODE_ID_BYTES)] = b""

    @property
    def node_id(self) -> NodeId:
        """The boot id, typed."""
        return NodeId(self.id)

    @property
    def host(self) -> str:
        """The address to use."""
        return self.hosts[0]

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


class PingReq(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Ping `subject` for me; answered by `RelayedAck`, or by `Nack` after `patience_ms`."""

    probe: int
    subject: BootId
    patience_ms: Count
    report: bytes
    updates: list[MemberRecord]


class RelayedAck(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """The subject of your `PingReq` has answered me."""

    probe: int
    report: bytes
    updates: list[MemberRecord]


class Nack(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """I have heard you, but the subject is silent (Lifeguard section IV-A)."""

    probe: int


class Gossip(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """News that shall not wait for the next ping: a leave, a proven death."""

    report: bytes
    updates: list[MemberRecord]


class ProcessEnded(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """I have all three signs that the process of `subject` has ended (``process_death.py``)."""

    subject: BootId


class Dispute(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """I hold you, this boot id, for dead; `standing` decides if you hold me for dead as well."""

    standing: bytes
    subject: BootId


class Beacon(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Multicast: I exist, in a cluster of `member_count`. A stranger is asked for its list."""

    sender: MemberRecord
    member_count: int
    report: bytes


class PushPull(msgspec.Struct, array_like=True, frozen=True, tag=64):
    """My member list, for yours: the first contact, and the periodic repair."""

    standing: bytes
    report: bytes
    records: list[MemberRecord]


MembershipMessage = (
    Ping | Ack | PingReq | RelayedAck | Nack | Gossip | ProcessEnded | Dispute | Beacon
)
"""What a datagram may carry."""
