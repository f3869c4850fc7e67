"""Is everybody still there: the SWIM automaton with Lifeguard's extensions.

Sources: Das, Gupta, Motivala, "SWIM", DSN 2002; Dadgar, Phillips, Currey, "Lifeguard", 2017.

Responsible for: probing members round-robin, asking others to probe, accusing the silent,
collecting proof of process death, noticing when this node itself is the sick one.

Not responsible for: what is believed and told (``beliefs.py``), whole lists and splits
(``repair.py``), finding the first contact (``discovery.py``), what a death means for data
(``partition/``), sockets and clocks (``process/driver.py``).

Theory of operation. Every protocol period one member is pinged. Without an ack within the
direct wait, three others are asked to ping it and a connection to it is tried; without any
answer by the probe's deadline it is suspected, and unless it refutes in time it is dead, for
ever, for that boot id. Probes overlap: a period is shorter than a deadline.

Stalls. When this node was paused, unread answers wait in its sockets while its timers are
all due. The driver reads the sockets first and then calls `woke_late`; every open probe is
void then, every suspicion starts its time anew: a sleeper blames nobody.

Replay. A datagram of a boot id that is not a living member may be a recording from before
this node's start, when it knew nothing of that sender's counters: nothing in it is believed.
Strangers become members by an exchange over an authenticated connection only.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from grid.membership.beliefs import Beliefs, Clock
from grid.membership.effects import (
    KeepConnections,
    MembershipEffect,
    SendDatagram,
    StreamAnswer,
    StreamPing,
)
from grid.membership.local_health import LocalHealth
from grid.membership.messages import (
    Ack,
    Gossip,
    MemberRecord,
    MemberState,
    Nack,
    Ping,
    PingReq,
    ProcessEnded,
    RelayedAck,
)
from grid.membership.options import MembershipOptions
from grid.membership.probing import Prober, Relay
from grid.membership.process_death import ProcessDeaths, watched_by, watchers_of
from grid.types import WARNING, Address, LogLine, NodeId, SetTimer, log_text

PERIOD_TIMER = "swim-period"
DIRECT_TIMER = "swim-direct"
END_TIMER = "swim-end"
RELAY_TIMER = "swim-relay"
SILENCE_TIMER = "swim-silence"

NACK_SHARE = 0.8
"""A helper says no at this share of the asker's patience (Lifeguard section IV-A)."""

STREAM_ONLY_WARNING = 5
"""Probes in a row that only TCP could answer before a person is told of it."""

STREAM_ONLY_MAX = 256
"""Members such probes are counted of."""

TOLD_DIRECTLY_MAX = 64
"""A proven death is told to each member directly in clusters up to this size."""


class Swim:
    """One node's failure detector.

    Every method returns the effects to perform; nothing else happens outside. `report` is
    called for the opaque bytes that ride on each message (load, table stamp).
    """

    def __init__(
        self,
        beliefs: Beliefs,
        options: MembershipOptions,
        random: Random,
        clock: Clock,
        health: LocalHealth,
        report: Callable[[], bytes],
        exchange: Callable[[Address], list[MembershipEffect]],
    ) -> None:
        """Keep the parts; `start` begins the periods. `exchange` swaps member lists."""
        self._beliefs = beliefs
        self._members = beliefs.members
        self._options = options
        self._random = random
        self._clock = clock
        self._health = health
        self._report = report
        self._exchange = exchange
        self._prober = Prober(random)
        self._deaths = ProcessDeaths()
        self._watched: tuple[MemberRecord, ...] = ()
        self._stream_only: dict[NodeId, int] = {}

    def start(self) -> list[MembershipEffect]:
        """Begin the protocol periods, at a random phase so that nodes do not march in step."""
        return [SetTimer(PERIOD_TIMER, self._random.uniform(0, self._options.protocol_period_s))]

    # -- messages -------------------------------------------------------------------------

    def handle_ping(self, sender: MemberRecord, source: Address, ping: Ping) -> SendDatagram:
        """Answer; a suspect hears what is said of it, so that it can refute."""
        about = sender if sender.state is MemberState.SUSPECT else None
        return SendDatagram(source, Ack(ping.probe, self._report(), self._updates(about)))

    def handle_ack(self, sender_id: NodeId, probe: int) -> list[MembershipEffect]:
        """A ping is answered: an own one, one for somebody else, or one that asks for death."""
        self._deaths.drop(sender_id)  # It lives, whatever it answers.
        if self._prober.answered(probe, sender_id, self._clock()):
            self._health.improve()
            self._stream_only.pop(sender_id, None)
            return self._beliefs.bury_predecessors(sender_id)
        relay = self._prober.relay_answered(probe, sender_id)
        if relay is not None:
            answer = RelayedAck(relay.asker_probe, self._report(), self._updates())
            return [SendDatagram(relay.asker_address, answer)]
        return []

    def handle_ping_req(
        self, sender_id: NodeId, source: Address, request: PingReq
    ) -> list[MembershipEffect]:
        """Ping the subject for a member that had no answer."""
        subject = self._members.get_living(NodeId(request.subject))
        if subject is None:
            return [SendDatagram(source, Nack(request.probe))]
        relay = Relay(subject.node_id, sender_id, source, request.probe)
        number = self._prober.relay(relay)
        patience_s = min(request.patience_ms / 1000, self._options.probe_deadline_s)
        return [
            SendDatagram(subject.address, self._ping(number, subject)),
            SetTimer((RELAY_TIMER, number), NACK_SHARE * patience_s),
        ]

    def handle_relayed_ack(self, helper_id: NodeId, probe: int) -> list[MembershipEffect]:
        """A helper has reached the target."""
        if self._prober.answered_through(probe, helper_id) is not None:
            self._health.improve()
        return []

    def handle_nack(self, helper_id: NodeId, probe: int) -> None:
        """A helper lives, at least."""
        self._prober.helper_heard(probe, helper_id)

    def handle_process_ended(
        self, witness_id: NodeId, message: ProcessEnded
    ) -> list[MembershipEffect]:
        """Another member has proof of a process death."""
        subject = self._members.get_living(NodeId(message.subject))
        if subject is None or subject.id == self._beliefs.own.id:
            return []
        return self._process_is_dead(subject.node_id) if self._testify(subject, witness_id) else []

    # -- connections ----------------------------------------------------------------------

    def connection_ended(self, node_id: NodeId) -> list[MembershipEffect]:
        """A kept connection ended by EOF or RST: the first sign; look for the other two."""
        subject = self._members.get_living(node_id)
        number = self._prober.next_number()
        if subject is None or not self._deaths.open(node_id, number):
            return []
        wait_s = self._options.process_death_wait_s
        return [
            SendDatagram(subject.address, self._ping(number, subject)),
            StreamPing(number, node_id, subject.address, wait_s),
            SetTimer((SILENCE_TIMER, node_id), wait_s),
        ]

    def stream_ping_ended(self, number: int, answer: StreamAnswer) -> list[MembershipEffect]:
        """An attempt to connect is over: a probe's last resort, or the second sign."""
        probe = self._prober.get(number)
        node_id = probe.target_id if probe is not None else self._deaths.subject_of(number)
        if node_id is None:
            return []
        match answer:
            case StreamAnswer.ANOTHER_NODE:
                self._prober.close(number)
                return self._process_is_dead(node_id)
            case StreamAnswer.ANSWERED:
                self._deaths.drop(node_id)
                if probe is not None:
                    probe.is_answered_by_stream = True
            case _ if probe is None:
                is_refused = answer is StreamAnswer.REFUSED
                if self._deaths.dialled(node_id, is_refused=is_refused):
                    return self._bear_witness(node_id)
        return []

    def _answered_by_stream_only(self, target_id: NodeId) -> list[MembershipEffect]:
        """The target lives but no datagram comes through (memberlist's TCP fallback).

        So no gossip comes through either: the lists are exchanged over TCP instead.
        """
        target = self._members.get_living(target_id)
        if target is None:
            return []
        count = self._stream_only.pop(target_id, 0) + 1
        self._stream_only[target_id] = count
        if len(self._stream_only) > STREAM_ONLY_MAX:
            del self._stream_only[next(iter(self._stream_only))]
        effects = self._exchange(target.address)
        if count == STREAM_ONLY_WARNING:
            text = log_text(
                "answers on TCP but not on UDP",
                member=target.name,
                address=target.address,
                hint=f"let UDP port {target.port} pass the firewalls between the machines",
            )
            effects.append(LogLine(WARNING, text))
        return effects

    # -- timers ---------------------------------------------------------------------------

    def handle_timer(self, timer: object) -> list[MembershipEffect]:
        """Handle a timer this core has set."""
        match timer:
            case "swim-period":
                period_s = self._options.protocol_period_s * self._health.multiplier
                return [SetTimer(PERIOD_TIMER, period_s), *self._watch(), *self._probe_next()]
            case "arrival":
                return self._watch()
            case ("swim-direct", int(number)):
                return self._direct_wait_over(number)
            case ("swim-end", int(number)):
                return self._probe_over(number)
            case ("swim-relay", int(number)):
                relay = self._prober.relay_expired(number)
                if relay is None:
                    return []
                return [SendDatagram(relay.asker_address, Nack(relay.asker_probe))]
            case ("swim-silence", bytes(node_id)):
                is_complete = self._deaths.silent(NodeId(node_id))
                return self._bear_witness(NodeId(node_id)) if is_complete else []
            case _:
                raise AssertionError(f"unknown timer {timer!r}")

    def woke_late(self, lateness_s: float) -> list[MembershipEffect]:
        """The loop ran its timers late by `lateness_s`; what was readable has been read."""
        if lateness_s < self._options.late_s:
            return []
        self._health.worsen()
        if lateness_s < self._options.stall_s:
            return []
        self._prober.void()
        self._deaths.void()
        return self._beliefs.restart_suspicions()

    # -- probing --------------------------------------------------------------------------

    def _probe_next(self) -> list[MembershipEffect]:
        if self._beliefs.arrivals:
            self._prober.add_newcomers(self._beliefs.arrivals)
            self._beliefs.arrivals.clear()
        target = self._prober.next_target(self._members, self._beliefs.own.node_id)
        if target is None:
            return []
        now_s = self._clock()
        deadline_s = self._options.probe_deadline_s * self._health.multiplier
        probe = self._prober.begin(target.node_id, now_s, now_s + deadline_s)
        wait_s = min(self._prober.direct_wait_s * self._health.multiplier, deadline_s / 2)
        return [
            SendDatagram(target.address, self._ping(probe.number, target)),
            SetTimer((DIRECT_TIMER, probe.number), wait_s),
        ]

    def _direct_wait_over(self, number: int) -> list[MembershipEffect]:
        """No ack yet: ask others, and try a connection, until the probe's deadline."""
        probe = self._prober.get(number)
        target = self._members.get_living(probe.target_id) if probe is not None else None
        if probe is None or target is None:
            self._prober.close(number)
            return []
        own_id = self._beliefs.own.node_id
        helpers = self._prober.choose_helpers(
            self._members, self._options.ping_req_members, frozenset((own_id, target.node_id))
        )
        probe.helpers = tuple(helper.node_id for helper in helpers)
        # After a late waking little may be left: the others must still have a chance.
        left_s = max(self._options.probe_deadline_s / 4, probe.deadline_s - self._clock())
        patience_ms = int(1000 * left_s)
        effects: list[MembershipEffect] = [
            SendDatagram(
                helper.address,
                PingReq(number, target.id, patience_ms, self._report(), self._updates(target)),
            )
            for helper in helpers
        ]
        return [
            *effects,
            StreamPing(number, target.node_id, target.address, left_s),
            SetTimer((END_TIMER, number), left_s),
        ]

    def _probe_over(self, number: int) -> list[MembershipEffect]:
        """The deadline passed without any answer: the target is suspected."""
        probe = self._prober.close(number)
        if probe is None:
            return []
        if probe.is_answered_by_stream:
            return self._answered_by_stream_only(probe.target_id)
        target = self._members.get_living(probe.target_id)
        if target is not None and target.state is MemberState.ALIVE:
            # Helpers that do not even say no indict this node's own connection, not the
            # target's. The silence of somebody already suspected is no news of anyone's health.
            missed_nacks = len(probe.helpers) - len(probe.helpers_heard)
            self._health.worsen(missed_nacks if probe.helpers else 1)
        return self._beliefs.suspect(probe.target_id)

    def _ping(self, number: int, target: MemberRecord) -> Ping:
        # The buddy system (Lifeguard section IV-C): a suspect hears of it from any ping. Who
        # was told by others only may never hear, once the retransmits are used up.
        about = target if target.state is MemberState.SUSPECT else None
        return Ping(number, self._report(), self._updates(about))

    def _updates(self, first: MemberRecord | None = None) -> list[MemberRecord]:
        is_suspect = first is not None and first.state is MemberState.SUSPECT
        return self._beliefs.take_updates(first if is_suspect else None)

    # -- process death --------------------------------------------------------------------

    def _watch(self) -> list[MembershipEffect]:
        """Keep connections to the ring neighbours as they are now.

        Not only once a period: whoever dies soon after its arrival dies with a proof, too. Else it
        is this node's health that pays, where no helper says who is to blame: with two members
        each such death made the next one take two seconds longer to notice.
        """
        watched = watched_by(self._beliefs.own.node_id, self._members.living())
        if [(r.id, r.hosts) for r in watched] == [(r.id, r.hosts) for r in self._watched]:
            return []
        self._watched = watched
        return [KeepConnections(watched)]

    def _bear_witness(self, subject_id: NodeId) -> list[MembershipEffect]:
        """All three signs are there: accuse, and tell the others that there is proof."""
        subject = self._members.get_living(subject_id)
        if subject is None:
            return []  # Others were faster.
        effects = self._beliefs.suspect(subject_id)
        if self._testify(subject, self._beliefs.own.node_id):
            return [*effects, *self._process_is_dead(subject_id)]
        others = self._others(subject_id)
        if len(others) > TOLD_DIRECTLY_MAX:
            # Only the other watchers can have signs of their own.
            own_id = self._beliefs.own.id
            watchers = watchers_of(subject_id, self._members.living())
            others = [record.address for record in watchers if record.id != own_id]
        testimony = ProcessEnded(subject_id)
        return [*effects, *(SendDatagram(address, testimony) for address in others)]

    def _testify(self, subject: MemberRecord, witness_id: NodeId) -> bool:
        return self._deaths.testify(
            subject.node_id, witness_id, self._members.living_count, self._clock()
        )

    def _process_is_dead(self, subject_id: NodeId) -> list[MembershipEffect]:
        """Enough witnesses: it is dead now, and everybody hears so at once."""
        self._deaths.drop(subject_id)
        effects = self._beliefs.declare_dead(subject_id)
        record = self._members.get(subject_id)
        others = self._others(subject_id)
        if not effects or record is None or len(others) > TOLD_DIRECTLY_MAX:
            return effects
        news = Gossip(self._report(), [record])
        return [*effects, *(SendDatagram(address, news) for address in others)]

    def _others(self, subject_id: NodeId) -> list[Address]:
        excluded = (self._beliefs.own.id, subject_id)
        return [r.address for r in self._members.living() if r.id not in excluded]
