"""What the membership core asks of the world, besides timers and log lines.

An effect is data; ``process/driver.py`` (or the simulator) performs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from grid.membership.messages import MemberRecord, MembershipMessage, PushPull
from grid.types import Address, LogLine, NodeId, SetTimer


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send `message` to `address`; it may be lost."""

    address: Address
    message: MembershipMessage


@dataclass(frozen=True, slots=True)
class Multicast:
    """Send `message` to everybody who listens on the discovery group, on every interface."""

    message: MembershipMessage


class StreamAnswer(Enum):
    """How an attempt to connect to a node ended."""

    ANSWERED = auto()
    """The node with the expected boot id has proved itself."""
    ANOTHER_NODE = auto()
    """A node with another boot id has proved itself at that address."""
    REFUSED = auto()
    """The machine says that nobody listens."""
    SILENT = auto()
    """Nothing conclusive before the deadline."""


@dataclass(frozen=True, slots=True)
class StreamPing:
    """Connect and shake hands anew; the end is told as ``stream_ping_ended(probe, answer)``."""

    probe: int
    node_id: NodeId
    address: Address
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """Connect, send `message`, and tell the answer as ``exchange_ended(address, ...)``."""

    address: Address
    message: PushPull


@dataclass(frozen=True, slots=True)
class KeepConnections:
    """Hold an authenticated connection to exactly these members.

    The end of one by EOF or RST is told as ``connection_ended(node_id)``.
    """

    members: tuple[MemberRecord, ...]


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member appeared or changed state; `record` is the new belief."""

    record: MemberRecord


@dataclass(frozen=True, slots=True)
class SelfDeclaredDead:
    """The cluster holds this boot id for dead: discard everything and come back as a new node."""


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """A member's latest report, opaque to membership (load, table stamp)."""

    sender: MemberRecord
    report: bytes


MembershipEffect = (
    SendDatagram
    | Multicast
    | StreamPing
    | Exchange
    | KeepConnections
    | MemberChanged
    | SelfDeclaredDead
    | ReportReceived
    | SetTimer
    | LogLine
)
