"""The control plane of one node: its cores wired together, still without I/O.

Responsible for: turning one core's notification into another's event (a member joined, so
the coordinator has a round to run; a report names a newer table, so fetch it).

Not responsible for: performing effects (``driver.py``), clocks, sockets, the data plane.

The same object runs in the network process and in the simulator.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from random import Random
from typing import cast

import msgspec

from grid.membership.beliefs import ChooseHost, Clock
from grid.membership.discovery import FoundCluster
from grid.membership.effects import (
    Exchange,
    KeepConnections,
    MemberChanged,
    Multicast,
    ReportReceived,
    SelfDeclaredDead,
    SendDatagram,
    StreamAnswer,
    StreamPing,
)
from grid.membership.membership import Membership
from grid.membership.messages import MemberRecord, MembershipMessage, PushPull
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.membership.repair import UNSETTLED, standing_of
from grid.partition.coordinator import CHECK_TIMER, PHASE_TIMER, Coordinator, coordinator_of
from grid.partition.effects import (
    AskHoldings,
    AskRelease,
    LeaveGranted,
    SendToNode,
    ServeTable,
)
from grid.partition.follower import Follower
from grid.partition.messages import (
    AcceptLoss,
    CollectRefused,
    Holding,
    Holdings,
    LeaveWanted,
    Leaving,
    PartitionMessage,
    Released,
    RoundWanted,
    TableWanted,
)
from grid.types import NO_TABLE, Address, LogLine, NodeId, SetTimer, TableStamp
from grid.wire.report import NodeReport, decode_report, encode_report

TABLE_WANTED_TIMER = "table-wanted"
TABLE_WANTED_GAP_S = 0.5
"""A newer table seen in reports is asked for at most this often."""

NodeEffect = (
    SendDatagram
    | Multicast
    | StreamPing
    | Exchange
    | KeepConnections
    | SendToNode
    | AskHoldings
    | AskRelease
    | ServeTable
    | LeaveGranted
    | MemberChanged
    | SelfDeclaredDead
    | SetTimer
    | LogLine
)


class ControlPlane:
    """Membership and partition cores of one node."""

    def __init__(
        self,
        own: MemberRecord,
        membership_options: MembershipOptions,
        discovery_options: DiscoveryOptions,
        random: Random,
        clock: Clock,
        *,
        remembered: Iterable[Address] = (),
        choose_host: ChooseHost | None = None,
        backup_count: int = 1,
    ) -> None:
        """Build the cores; `start` sets them going. See `Membership` for the arguments."""
        self.load = NodeReport()
        self.reports: dict[NodeId, NodeReport] = {}
        self._encoded_report: tuple[NodeReport, TableStamp, bytes] | None = None
        self.membership = Membership(
            own,
            membership_options,
            discovery_options,
            random,
            clock,
            report=self._report,
            standing=self._standing,
            remembered=remembered,
            choose_host=choose_host,
        )
        self.follower = Follower(own.node_id)
        self.coordinator = Coordinator(self.follower, backup_count=backup_count)
        self._may_ask_for_table = True

    @property
    def own(self) -> MemberRecord:
        """What this node says of itself."""
        return self.membership.own

    # -- inputs ---------------------------------------------------------------------------

    def start(self) -> list[NodeEffect]:
        """Start the protocol periods and the search for a cluster."""
        return self._route(self.membership.start())

    def handle_datagram(
        self, sender_id: NodeId, source: Address, message: MembershipMessage
    ) -> list[NodeEffect]:
        """Handle an authenticated membership message."""
        return self._route(self.membership.handle_datagram(sender_id, source, message))

    def handle_exchange(
        self, sender_id: NodeId, message: PushPull
    ) -> tuple[list[NodeEffect], PushPull]:
        """Another node gives its member list over a connection. Returns also: the answer."""
        effects, reply = self.membership.handle_exchange(sender_id, message)
        return self._route(effects), reply

    def exchange_ended(
        self, address: Address, sender_id: NodeId | None, reply: PushPull | None
    ) -> list[NodeEffect]:
        """An `Exchange` is over; both are None when nobody answered."""
        return self._route(self.membership.exchange_ended(address, sender_id, reply))

    def stream_ping_ended(self, probe: int, answer: StreamAnswer) -> list[NodeEffect]:
        """A `StreamPing` is over."""
        return self._route(self.membership.stream_ping_ended(probe, answer))

    def connection_ended(self, node_id: NodeId) -> list[NodeEffect]:
        """A connection of `KeepConnections` ended by EOF or RST."""
        return self._route(self.membership.connection_ended(node_id))

    def woke_late(self, lateness_s: float) -> list[NodeEffect]:
        """The loop is about to run timers late by `lateness_s`; its sockets have been read."""
        return self._route(self.membership.woke_late(lateness_s))

    def readdress(self, hosts: tuple[str, ...]) -> list[NodeEffect]:
        """The machine's interfaces have changed."""
        return self._route(self.membership.readdress(hosts))

    def handle_peer_message(self, sender: NodeId, message: PartitionMessage) -> list[NodeEffect]:
        """Handle a partition message from an authenticated peer (or from oneself)."""
        match message:
            case (
                Holdings()
                | CollectRefused()
                | Released()
                | RoundWanted()
                | LeaveWanted()
                | Leaving()
                | AcceptLoss()
            ):
                return self._route(self.coordinator.handle_message(sender, message))
            case _:
                return self._route(self.follower.handle_message(sender, message))

    def handle_timer(self, timer: Hashable) -> list[NodeEffect]:
        """Handle a timer that one of the cores has set."""
        if timer in (CHECK_TIMER, PHASE_TIMER):
            return self._route(self.coordinator.handle_timer(str(timer)))
        if timer == TABLE_WANTED_TIMER:
            self._may_ask_for_table = True
            return []
        with_table = [n for n, report in self.reports.items() if report.stamp != NO_TABLE]
        return self._route(
            self.membership.handle_timer(
                timer,
                has_table=self.follower.table is not None,
                members_with_table=frozenset(with_table),
            )
        )

    def holdings_known(self, token: int, held: list[Holding]) -> list[NodeEffect]:
        """Answer to `AskHoldings`."""
        return self._route(self.follower.holdings_known(token, held))

    def released(self, token: int, partition_ids: list[int]) -> list[NodeEffect]:
        """Answer to `AskRelease`."""
        return self._route(self.follower.released(token, partition_ids))

    def copies_changed(self, *, is_last: bool) -> list[NodeEffect]:
        """Tell the coordinator that a copy here became complete, or is none any more."""
        return self._to_coordinator(RoundWanted(is_last))

    def want_to_leave(self) -> list[NodeEffect]:
        """Ask the coordinator to have others take what is here; `LeaveGranted` follows."""
        return self._to_coordinator(LeaveWanted())

    def leave(self, held: list[Holding]) -> list[NodeEffect]:
        """Tell the (next) coordinator what goes with this node, and everybody that it goes."""
        others = frozenset(self._living().keys() - {self.own.node_id})
        coordinator = coordinator_of(self.follower.table, others)
        effects: list[NodeEffect] = []
        if coordinator is not None:
            effects.append(SendToNode(coordinator, Leaving(held)))
        return [*effects, *self._route(self.membership.leave())]

    def accept_loss(self) -> list[NodeEffect]:
        """Pass a person's word to the coordinator."""
        return self._to_coordinator(AcceptLoss())

    def _to_coordinator(self, message: PartitionMessage) -> list[NodeEffect]:
        coordinator = coordinator_of(self.follower.table, frozenset(self._living()))
        return [] if coordinator is None else [SendToNode(coordinator, message)]

    # -- glue -----------------------------------------------------------------------------

    def _route(self, effects: Sequence[object]) -> list[NodeEffect]:
        """Feed notifications to the other cores; return what is left for the outside."""
        outside: list[NodeEffect] = []
        for effect in effects:
            match effect:
                case FoundCluster():
                    outside += self._route(self.coordinator.found())
                case MemberChanged(record=record):
                    outside.append(effect)
                    if record.state.is_gone:
                        self.reports.pop(record.node_id, None)
                    outside += self._route(self.coordinator.alive_changed(self._living()))
                case ReportReceived(sender=sender, report=data):
                    report = decode_report(data)
                    if report is not None:
                        self.reports[sender.node_id] = report
                        outside += self._catch_up(sender.node_id, report.stamp)
                case _:
                    outside.append(cast(NodeEffect, effect))
        return outside

    def _catch_up(self, sender: NodeId, stamp: TableStamp) -> list[NodeEffect]:
        """Ask for a newer table that a report gives notice of (a lost or missed `Publish`)."""
        own_stamp = self.follower.stamp
        if not stamp.supersedes(own_stamp) or not self._may_ask_for_table:
            return []
        self._may_ask_for_table = False
        return [
            SendToNode(sender, TableWanted(own_stamp)),
            SetTimer(TABLE_WANTED_TIMER, TABLE_WANTED_GAP_S),
        ]

    def _living(self) -> dict[NodeId, str]:
        """Return the living members, each with its host."""
        return {record.node_id: record.host for record in self.membership.members.living()}

    def _report(self) -> bytes:
        """Return the report's bytes, encoded once per change."""
        stamp = self.follower.stamp
        known = self._encoded_report
        if known is None or known[0] is not self.load or known[1] != stamp:
            encoded = encode_report(msgspec.structs.replace(self.load, stamp=stamp))
            known = self._encoded_report = (self.load, stamp, encoded)
        return known[2]

    def _standing(self) -> bytes:
        """Which side of a split stays: see ``membership/repair.py``."""
        table = self.follower.table
        if table is None:
            return standing_of(0, 0, self.membership.members.living()[0].id)
        # A table names whom a split has taken away until the next one is published.
        is_living = self.membership.members.get_living
        if not all(is_living(NodeId(node_id)) for node_id in table.order):
            return UNSETTLED
        return standing_of(len(table.order), table.stamp.term, table.stamp.coordinator)
