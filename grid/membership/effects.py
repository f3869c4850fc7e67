"""What the membership core asks of the world, besides timers and log lines.

An effect is data; ``process/driver.py`` (or the simulator) performs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid.membership.messages import MemberRecord, MembershipMessage
from grid.types import Address, LogLine, SetTimer


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send `message` to `address`; it may be lost."""

    address: Address
    message: MembershipMessage


@dataclass(frozen=True, slots=True)
class Multicast:
    """Send `message` to everybody who listens on the discovery group."""

    message: MembershipMessage


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
    | MemberChanged
    | SelfDeclaredDead
    | ReportReceived
    | SetTimer
    | LogLine
)
