"""The membership core of one node: its parts wired together behind one set of inputs.

Responsible for: sending each message, timer and connection event to the part that handles it,
and the rule whose datagrams are believed.

Not responsible for: any protocol (``swim.py``, ``repair.py``, ``discovery.py``,
``beliefs.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from grid.membership.beliefs import Beliefs, ChooseHost, Clock
from grid.membership.discovery import Discovery, DiscoveryEffect
from grid.membership.effects import (
    MembershipEffect,
    ReportReceived,
    SendDatagram,
    StreamAnswer,
)
from grid.membership.local_health import LocalHealth
from grid.membership.members import MemberList
from grid.membership.messages import (
    Ack,
    Beacon,
    Dispute,
    Gossip,
    MemberRecord,
    MembershipMessage,
    MemberState,
    Nack,
    Ping,
    PingReq,
    ProcessEnded,
    PushPull,
    RelayedAck,
)
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.membership.repair import Repair, lowest_living_standing
from grid.membership.swim import Swim
from grid.types import Address, NodeId


class Membership:
    """Who is in the cluster, as one node sees it.

    Every method returns the effects to perform; nothing else happens outside.
    """

    def __init__(
        self,
        own: MemberRecord,
        options: MembershipOptions,
        discovery_options: DiscoveryOptions,
        random: Random,
        clock: Clock,
        *,
        report: Callable[[], bytes],
        standing: Callable[[], bytes] | None = None,
        remembered: Iterable[Address] = (),
        choose_host: ChooseHost | None = None,
    ) -> None:
        """Start as a list of one; `start` sets everything going.

        Args:
            own: what this node says of itself.
            options: of SWIM and its repairs.
            discovery_options: of beacons and seeds.
            random: seeded; nothing else varies.
            clock: seconds on a monotonic scale.
            report: called for the opaque bytes that ride on each message.
            standing: compares greater for the side of a split that stays; by default the
                side with the lowest boot id stays.
            remembered: where nodes answered in former runs.
            choose_host: which of a member's addresses this node should use.
        """
        self.health = LocalHealth()
        self._beliefs = beliefs = Beliefs(own, options, clock, self.health, choose_host)
        self._report = report
        self._repair = Repair(
            beliefs,
            options,
            random,
            report,
            standing or (lambda: lowest_living_standing(beliefs)),
        )
        self._swim = Swim(
            beliefs, options, random, clock, self.health, report, self._repair.contact
        )
        self._discovery = Discovery(
            beliefs, discovery_options, random, report, self._repair, remembered
        )

    @property
    def own(self) -> MemberRecord:
        """What this node says of itself."""
        return self._beliefs.own

    @property
    def members(self) -> MemberList:
        """What this node believes of everybody."""
        return self._beliefs.members

    def start(self) -> list[DiscoveryEffect]:
        """Start the protocol periods and the search for a cluster."""
        return [*self._swim.start(), *self._repair.start(), *self._discovery.start()]

    def leave(self) -> list[MembershipEffect]:
        """Say goodbye: everybody living hears it directly."""
        self._beliefs.leave()
        farewell = Gossip(self._report(), [self.own])
        others = [r for r in self.members.living() if r.id != self.own.id]
        return [SendDatagram(record.address, farewell) for record in others]

    def readdress(self, hosts: tuple[str, ...]) -> list[DiscoveryEffect]:
        """The machine's interfaces have changed: announce it, with new addresses if so."""
        if hosts != self.own.hosts:
            self._beliefs.readdress(hosts)
            self._repair.forget_addresses()
        return self._discovery.interfaces_changed()

    # -- datagrams ------------------------------------------------------------------------

    def handle_datagram(
        self, sender_id: NodeId, source: Address, message: MembershipMessage
    ) -> list[MembershipEffect]:
        """Handle an authenticated datagram that `sender_id` sent from `source`."""
        if sender_id == self.own.id:
            return []
        sender = self.members.get_living(sender_id)
        if sender is None:
            return self._handle_outsider(sender_id, source, message)
        match message:
            case Nack(probe=probe):
                self._swim.handle_nack(sender_id, probe)
                return []
            case ProcessEnded():
                return self._swim.handle_process_ended(sender_id, message)
            case Dispute():
                return self._repair.handle_dispute(sender_id, source, message)
            case Beacon(report=report):
                return [ReportReceived(sender, report)]
        effects = self._beliefs.learn_all(message.updates)
        match message:
            case Ping():
                # What it has just said of itself counts already.
                sender = self.members.get_living(sender_id) or sender
                effects.append(self._swim.handle_ping(sender, source, message))
            case Ack(probe=probe):
                effects += self._swim.handle_ack(sender_id, probe)
            case PingReq():
                effects += self._swim.handle_ping_req(sender_id, source, message)
            case RelayedAck(probe=probe):
                effects += self._swim.handle_relayed_ack(sender_id, probe)
        if (sender := self.members.get_living(sender_id)) is not None:
            effects.append(ReportReceived(sender, message.report))
        return effects

    def _handle_outsider(
        self, sender_id: NodeId, source: Address, message: MembershipMessage
    ) -> list[MembershipEffect]:
        """A datagram of a boot id that is no living member: perhaps a recording."""
        if isinstance(message, Dispute):
            return self._repair.handle_dispute(sender_id, source, message)
        known = self.members.get(sender_id)
        if known is not None:
            # It should know that it is held for dead; who left is on its way out.
            is_dead = known.state is MemberState.DEAD
            address = known.address if isinstance(message, Beacon) else source
            return [self._repair.dispute(sender_id, address)] if is_dead else []
        if isinstance(message, Beacon):
            is_true = message.sender.node_id == sender_id
            return self._discovery.handle_beacon(message) if is_true else []
        # It knows us, and we have lost or never had its record.
        return self._repair.contact(source)

    # -- connections ----------------------------------------------------------------------

    def handle_exchange(
        self, sender_id: NodeId, message: PushPull
    ) -> tuple[list[MembershipEffect], PushPull]:
        """Another node gives its member list over a connection. Returns also: the answer."""
        return self._repair.handle_exchange(sender_id, message)

    def exchange_ended(
        self, address: Address, sender_id: NodeId | None, reply: PushPull | None
    ) -> list[MembershipEffect]:
        """An `Exchange` is over; both are None when nobody answered."""
        return self._repair.exchange_ended(address, sender_id, reply)

    def stream_ping_ended(self, probe: int, answer: StreamAnswer) -> list[MembershipEffect]:
        """A `StreamPing` is over."""
        return self._swim.stream_ping_ended(probe, answer)

    def connection_ended(self, node_id: NodeId) -> list[MembershipEffect]:
        """A connection of `KeepConnections` ended by EOF or RST."""
        return self._swim.connection_ended(node_id)

    # -- time -----------------------------------------------------------------------------

    def woke_late(self, lateness_s: float) -> list[MembershipEffect]:
        """The loop is about to run timers late by `lateness_s`; its sockets have been read."""
        return self._swim.woke_late(lateness_s)

    def handle_timer(
        self, timer: object, *, has_table: bool, members_with_table: frozenset[bytes]
    ) -> list[DiscoveryEffect]:
        """Handle a timer that one of the parts has set (see ``Discovery.handle_timer``)."""
        match timer:
            case ("suspicion", bytes(node_id)):
                return list(self._beliefs.suspicion_expired(NodeId(node_id)))
            case "repair-exchange" | "repair-contact":
                return list(self._repair.handle_timer(timer))
            case "discovery-beacon" | "discovery-founding" | "discovery-seed":
                return self._discovery.handle_timer(
                    timer, has_table=has_table, members_with_table=members_with_table
                )
            case _:
                return list(self._swim.handle_timer(timer))
