"""Who is in the cluster: the SWIM automaton (Das, Gupta, Motivala, DSN 2002).

Responsible for: probing members round-robin, suspecting the silent, declaring them dead,
refuting suspicion of oneself, spreading what is learned on the probes themselves.

Not responsible for: finding the first contact (``discovery.py``), what a death means for
data (``partition/``), sockets and clocks (``process/driver.py``).

Theory of operation. Every protocol period one member is pinged; if no ack comes within the
probe deadline it is suspected, and unless it refutes within the suspicion time it is dead,
for ever, for that boot id. Probes overlap: a period is shorter than a deadline.

Replay. A datagram of a boot id that is not a living member may be a recording from before
this node's start, when it knew nothing of that sender's counters. Nothing in it is believed;
the sender is asked for its list with a fresh nonce, and the answer that echoes it counts. In
the same way only an ack of an outstanding probe proves who answers at an address now.

Departures and omissions. First stage: direct probes only, a fixed suspicion time, member
lists exchanged as several datagrams. Indirect probes, the TCP ping, Lifeguard and push/pull
over TCP join here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

import msgspec

from grid.membership.dissemination import Dissemination, chunks
from grid.membership.effects import (
    MemberChanged,
    MembershipEffect,
    ReportReceived,
    SelfDeclaredDead,
    SendDatagram,
)
from grid.membership.members import MemberList
from grid.membership.messages import (
    Ack,
    Beacon,
    MemberRecord,
    MembershipMessage,
    MemberState,
    Ping,
    Sync,
)
from grid.membership.options import MembershipOptions
from grid.types import INFO, WARNING, Address, LogLine, NodeId, SetTimer, short

PERIOD_TIMER = "swim-period"
SYNC_TIMER = "swim-sync"

NONCES_MAX = 256
"""Questions to strangers that may still be answered."""

Timer = str | tuple[str, int] | tuple[str, NodeId, int]


class Swim:
    """One node's membership automaton.

    Every method returns the effects to perform; nothing else happens outside. `report` is
    called for the opaque bytes that ride on each message (load, table stamp).
    """

    def __init__(
        self,
        own: MemberRecord,
        options: MembershipOptions,
        random: Random,
        report: Callable[[], bytes],
    ) -> None:
        """Start as a list of one; `start` begins the periods."""
        self.own = own
        self.members = MemberList(own)
        self._options = options
        self._random = random
        self._report = report
        self._dissemination = Dissemination()
        # Unpredictable, so that no recorded ack fits a probe of this run.
        self._probe_number = random.getrandbits(48)
        self._nonces: deque[int] = deque(maxlen=NONCES_MAX)
        self._probe_targets: list[NodeId] = []
        self._outstanding: dict[int, NodeId] = {}

    # -- inputs ---------------------------------------------------------------------------

    def start(self) -> list[MembershipEffect]:
        """Begin the protocol periods, at a random phase so that nodes do not march in step."""
        period_s = self._options.protocol_period_s
        return [
            SetTimer(PERIOD_TIMER, self._random.uniform(0, period_s)),
            SetTimer(SYNC_TIMER, self._random.uniform(0.5, 1) * self._options.sync_period_s),
        ]

    def contact(self, address: Address) -> list[MembershipEffect]:
        """Exchange member lists with whoever answers at `address`."""
        return self._sync(address, ask=True)

    def leave(self) -> list[MembershipEffect]:
        """Say goodbye: everybody living hears it directly."""
        self._change_own(state=MemberState.LEFT)
        farewell = Sync(0, 0, self._report(), [self.own])
        return [SendDatagram(peer.address, farewell) for peer in self._living_others()]

    def handle_message(
        self, sender_id: NodeId, source: Address, message: MembershipMessage
    ) -> list[MembershipEffect]:
        """Handle an authenticated datagram that `sender_id` sent from `source`."""
        if sender_id == self.own.node_id:
            return []
        effects: list[MembershipEffect] = []
        is_known = self._is_living(sender_id)
        match message:
            case Beacon(sender=record):
                if record.node_id != sender_id:
                    return []
                if not is_known:
                    return self._sync(record.address, ask=True)
            case Ping(probe=probe, updates=updates):
                effects += self._learn_all(updates if is_known else [])
                effects += self._answer_ping(sender_id, source, probe)
            case Ack(probe=probe, updates=updates):
                effects += self._learn_all(updates if is_known else [])
                if self._outstanding.get(probe) == sender_id:
                    del self._outstanding[probe]
                    effects += self._bury_predecessors(sender_id)
            case Sync(nonce=nonce, echo=echo, updates=updates):
                effects += self._learn_all(updates if is_known or echo in self._nonces else [])
                if nonce:
                    # A stranger is asked in return: what it says counts once it echoes.
                    effects += self._sync(source, echo=nonce, ask=not is_known)
        sender = self.members.get(sender_id)
        if sender is not None and not sender.state.is_gone:
            effects.append(ReportReceived(sender, message.report))
        return effects

    def handle_timer(self, timer: Timer) -> list[MembershipEffect]:
        """Handle a timer this core has set."""
        match timer:
            case "swim-period":
                return [
                    SetTimer(PERIOD_TIMER, self._options.protocol_period_s),
                    *self._probe_next(),
                ]
            case "swim-sync":
                effects: list[MembershipEffect] = [
                    SetTimer(SYNC_TIMER, self._options.sync_period_s)
                ]
                others = self._living_others()
                if others:
                    partner = self._random.choice(others)
                    effects += self._sync(partner.address, ask=True)
                return effects
            case ("probe", int(probe)):
                return self._probe_failed(probe)
            case ("suspicion", bytes(node_id), int(incarnation)):
                return self._suspicion_expired(NodeId(node_id), incarnation)
            case _:
                raise AssertionError(f"unknown timer {timer!r}")

    # -- probing --------------------------------------------------------------------------

    def _probe_next(self) -> list[MembershipEffect]:
        target = self._next_target()
        if target is None:
            return []
        self._probe_number += 1
        self._outstanding[self._probe_number] = target.node_id
        # A suspect hears what is said of it, so that it can refute (Lifeguard's buddy system);
        # whoever was told by others only may never hear, once the retransmits are used up.
        is_suspect = target.state is MemberState.SUSPECT
        updates = [target] if is_suspect else self._take_updates()
        ping = Ping(self._probe_number, self._report(), updates)
        return [
            SendDatagram(target.address, ping),
            SetTimer(("probe", self._probe_number), self._options.probe_deadline_s),
        ]

    def _next_target(self) -> MemberRecord | None:
        """Round-robin over a shuffled list (section 4.3): every member once a pass."""
        for _ in range(2):
            while self._probe_targets:
                record = self.members.get(self._probe_targets.pop())
                if record is not None and not record.state.is_gone:
                    return record
            self._probe_targets = [record.node_id for record in self._living_others()]
            self._random.shuffle(self._probe_targets)
        return None

    def _answer_ping(
        self, sender_id: NodeId, source: Address, probe: int
    ) -> list[MembershipEffect]:
        effects: list[MembershipEffect] = []
        known = self.members.get(sender_id)
        updates = self._take_updates()
        if known is None:
            # A stranger that knows us: we have lost or never had its record.
            effects += self._sync(source, ask=True)
        elif known.state.is_gone:
            # It must hear of its own death, however long ago that was told.
            updates = [known]
        effects.append(SendDatagram(source, Ack(probe, self._report(), updates)))
        return effects

    def _probe_failed(self, probe: int) -> list[MembershipEffect]:
        node_id = self._outstanding.pop(probe, None)
        record = self.members.get(node_id) if node_id is not None else None
        if record is None or record.state is not MemberState.ALIVE:
            return []
        suspect = msgspec.structs.replace(record, state=MemberState.SUSPECT)
        return self._learn(suspect)

    def _suspicion_expired(self, node_id: NodeId, incarnation: int) -> list[MembershipEffect]:
        record = self.members.get(node_id)
        if (
            record is None
            or record.state is not MemberState.SUSPECT
            or record.incarnation != incarnation
        ):
            return []
        return self._learn(msgspec.structs.replace(record, state=MemberState.DEAD))

    # -- what is believed -----------------------------------------------------------------

    def _learn_all(self, records: list[MemberRecord]) -> list[MembershipEffect]:
        effects: list[MembershipEffect] = []
        for record in records:
            effects += self._learn(record)
        return effects

    def _learn(self, claim: MemberRecord) -> list[MembershipEffect]:
        if claim.node_id == self.own.node_id:
            return self._hear_about_self(claim)
        known = self.members.merge(claim)
        if known is None:
            return []
        is_new = known is claim
        self._dissemination.add(claim)
        if is_new and claim.state is MemberState.ALIVE:
            # A newcomer enters the pass at a random place (section 4.3).
            place = self._random.randint(0, len(self._probe_targets))
            self._probe_targets.insert(place, claim.node_id)
        effects: list[MembershipEffect] = []
        if claim.state is MemberState.SUSPECT:
            timer = ("suspicion", claim.node_id, claim.incarnation)
            effects.append(SetTimer(timer, self._options.suspicion_s))
        if is_new and claim.state.is_gone:
            return effects
        if is_new or claim.state is not known.state:
            effects.append(self._describe(claim, is_new=is_new))
            effects.append(MemberChanged(claim))
        return effects

    def _hear_about_self(self, claim: MemberRecord) -> list[MembershipEffect]:
        if self.own.state.is_gone:
            return []
        if claim.state.is_gone:
            return [SelfDeclaredDead()]
        if claim.state is MemberState.SUSPECT and claim.incarnation >= self.own.incarnation:
            self._change_own(incarnation=claim.incarnation + 1)
        return []

    def _bury_predecessors(self, successor_id: NodeId) -> list[MembershipEffect]:
        """Same address, other boot id: the former node there is dead now.

        Called when `successor_id` has just acked a probe of ours, which is proof; gossip and
        beacons are not, they may be old.
        """
        successor = self.members.get(successor_id)
        if successor is None:
            return []
        effects: list[MembershipEffect] = []
        for record in self._living_others():
            if record.address == successor.address and record.id != successor.id:
                effects += self._learn(msgspec.structs.replace(record, state=MemberState.DEAD))
        return effects

    def _change_own(
        self,
        *,
        state: MemberState | None = None,
        incarnation: int | None = None,
    ) -> None:
        self.own = msgspec.structs.replace(
            self.own,
            state=self.own.state if state is None else state,
            incarnation=self.own.incarnation if incarnation is None else incarnation,
        )
        self.members.replace_own(self.own)
        self._dissemination.add(self.own)

    # -- small helpers --------------------------------------------------------------------

    def _living_others(self) -> list[MemberRecord]:
        return [record for record in self.members.living() if record.id != self.own.id]

    def _take_updates(self) -> list[MemberRecord]:
        return self._dissemination.take(len(self.members.living()))

    def _sync(
        self, address: Address, *, ask: bool = False, echo: int = 0
    ) -> list[MembershipEffect]:
        """Send the member list; `ask` for the other's, by the last datagram."""
        nonce = 0
        if ask:
            nonce = self._random.getrandbits(48) or 1
            self._nonces.append(nonce)
        slices = chunks(sorted(self.members, key=lambda record: record.id))
        last = len(slices) - 1
        return [
            SendDatagram(
                address,
                Sync(nonce if index == last else 0, echo, self._report(), records),
            )
            for index, records in enumerate(slices)
        ]

    def _is_living(self, node_id: NodeId) -> bool:
        record = self.members.get(node_id)
        return record is not None and not record.state.is_gone

    @staticmethod
    def _describe(record: MemberRecord, *, is_new: bool) -> LogLine:
        verb = {
            MemberState.ALIVE: "joined" if is_new else "is alive again",
            MemberState.SUSPECT: "is suspected: it does not answer",
            MemberState.DEAD: "is dead",
            MemberState.LEFT: "has left",
        }[record.state]
        is_good_news = record.state in (MemberState.ALIVE, MemberState.LEFT)
        return LogLine(
            INFO if is_good_news else WARNING,
            f"{record.name} ({short(record.id)}, {record.address}) {verb}",
        )
