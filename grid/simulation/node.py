"""One simulated node: what ``process/driver.py`` does, on virtual time.

Responsible for: timers, pauses (datagrams wait, timers come due), slowness (every event takes
its time), the stall rule of the real driver (read the sockets first, then say how late it is),
connections as the membership core sees them.

Not responsible for: the cores (they are the shipped ones), the network (``network.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

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
from grid.membership.messages import MemberRecord, MembershipMessage, PushPull
from grid.simulation.clock import Clock
from grid.simulation.network import SimulatedNetwork
from grid.types import Address, LogLine, NodeId, SetTimer

EXCHANGE_DEADLINE_S = 5.0
INBOX_MAX = 10_000
"""Datagrams that wait for a paused node, as in a socket's buffer; later ones are lost."""

Effects = Sequence[object]


class Plane(Protocol):
    """The inputs of a node's cores; what they mean is said at `Membership`."""

    @property
    def own(self) -> MemberRecord:
        """What the node says of itself."""

    def start(self) -> Effects:
        """Begin."""

    def handle_datagram(
        self, sender_id: NodeId, source: Address, message: MembershipMessage
    ) -> Effects:
        """A datagram."""

    def handle_exchange(self, sender_id: NodeId, message: PushPull) -> tuple[Effects, PushPull]:
        """Another node's list, for this one's."""

    def exchange_ended(
        self, address: Address, sender_id: NodeId | None, reply: PushPull | None
    ) -> Effects:
        """The end of an own exchange."""

    def stream_ping_ended(self, probe: int, answer: StreamAnswer) -> Effects:
        """The end of an own attempt to connect."""

    def connection_ended(self, node_id: NodeId) -> Effects:
        """EOF or RST."""

    def woke_late(self, lateness_s: float) -> Effects:
        """A stall."""

    def handle_timer(self, timer: Hashable) -> Effects:
        """A timer."""


class Surroundings(Protocol):
    """What a node needs of the world around it (``world.py``)."""

    clock: Clock
    network: SimulatedNetwork

    def register(self, node: SimulatedNode) -> None:
        """It runs now."""

    def process_died(self, node: SimulatedNode) -> None:
        """Its process has ended."""

    def machine_died(self, node: SimulatedNode) -> None:
        """Its machine is gone."""

    def log(self, node: SimulatedNode, text: str) -> None:
        """It has something to tell a person."""

    def notice(self, node: SimulatedNode, effect: MemberChanged | SelfDeclaredDead) -> None:
        """Its view has changed."""

    def send_datagram(
        self, sender: SimulatedNode, address: Address, message: MembershipMessage
    ) -> None:
        """Carry a datagram."""

    def multicast(self, sender: SimulatedNode, message: MembershipMessage) -> None:
        """Carry a datagram to everybody."""

    def connect(
        self,
        sender: SimulatedNode,
        address: Address,
        on_reached: Callable[[SimulatedNode], None],
        on_refused: Callable[[], None],
    ) -> None:
        """Connect and shake hands."""


class SimulatedNode:
    """One node: its plane, its timers, its state of health."""

    def __init__(self, world: Surroundings, number: int, plane: Plane) -> None:
        """Build it; `start` sets it going."""
        self.world = world
        self.number = number
        self.base_plane = plane
        self.is_running = False
        self.is_paused = False
        self.service_s = 0.0
        """How long each event takes this node: 0 for a healthy one."""
        self.log: list[str] = []
        self.kept: frozenset[NodeId] = frozenset()
        self.sent_count = 0
        self._busy_until_s = 0.0
        self._inbox: list[tuple[NodeId, Address, MembershipMessage]] = []
        self._waiting: list[Callable[[], None]] = []
        self._timers: dict[Hashable, int] = {}
        self._timer_number = 0
        self._overdue: list[tuple[float, Hashable, int]] = []

    @property
    def node_id(self) -> NodeId:
        """The boot id."""
        return self.base_plane.own.node_id

    @property
    def address(self) -> Address:
        """Where it answers."""
        return self.base_plane.own.address

    @property
    def host(self) -> str:
        """The machine it runs on."""
        return self.base_plane.own.host

    # -- life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self.is_running = True
        self.world.register(self)
        self.perform(self.base_plane.start())

    def kill(self) -> None:
        """The process dies without a word; its machine resets the connections."""
        if self.is_running:
            self.is_running = False
            self.world.process_died(self)

    def crash(self) -> None:
        """The machine dies, or its cable: nothing answers any more."""
        if self.is_running:
            self.is_running = False
            self.world.machine_died(self)

    def pause(self) -> None:
        """Stop, as by SIGSTOP: datagrams and timers wait."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on: what the real driver does when its loop wakes late."""
        if not self.is_paused:
            return
        self.is_paused = False
        if not self.is_running:
            return
        inbox, self._inbox = self._inbox, []
        for arrived in inbox:
            self.perform(self.base_plane.handle_datagram(*arrived))
        overdue, self._overdue = sorted(self._overdue, key=lambda due: due[0]), []
        if overdue and self.is_running:
            self.perform(self.base_plane.woke_late(self.world.clock.now_s - overdue[0][0]))
        for _, timer, number in overdue:
            self._run_timer(timer, number)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            self.deliver(call)

    # -- events ---------------------------------------------------------------------------

    def receive(self, sender_id: NodeId, source: Address, message: MembershipMessage) -> None:
        """A datagram has arrived."""
        if not self.is_running:
            return
        if self.is_paused:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append((sender_id, source, message))
            return
        if self.service_s:
            self._when_free(self._handle_late, sender_id, source, message)
            return
        self.perform(self.base_plane.handle_datagram(sender_id, source, message))

    def deliver(self, call: Callable[[], None]) -> None:
        """Something else happens to the node: now, or when it is no longer paused."""
        if not self.is_running:
            return
        if self.is_paused:
            self._waiting.append(call)
        else:
            call()

    def _handle_late(self, sender_id: NodeId, source: Address, message: MembershipMessage) -> None:
        if self.is_paused:
            self._inbox.append((sender_id, source, message))
        elif self.is_running:
            self.perform(self.base_plane.handle_datagram(sender_id, source, message))

    def _when_free(self, call: Callable[..., None], *args: object) -> None:
        """Run `call` once the events before it have had their time."""
        now_s = self.world.clock.now_s
        self._busy_until_s = max(now_s, self._busy_until_s) + self.service_s
        self.world.clock.call_later(self._busy_until_s - now_s, call, *args)

    # -- timers ---------------------------------------------------------------------------

    def _set_timer(self, timer: Hashable, delay_s: float) -> None:
        self._timer_number += 1
        self._timers[timer] = self._timer_number
        clock = self.world.clock
        clock.call_later(delay_s, self._due, timer, self._timer_number, clock.now_s + delay_s)

    def _due(self, timer: Hashable, number: int, due_s: float) -> None:
        if not self.is_running or self._timers.get(timer) != number:
            return
        if self.is_paused:
            self._overdue.append((due_s, timer, number))
        elif self.service_s:
            self._when_free(self._run_late, timer, number, due_s)
        else:
            del self._timers[timer]
            self.perform(self.base_plane.handle_timer(timer))

    def _run_late(self, timer: Hashable, number: int, due_s: float) -> None:
        if self.is_paused:
            self._overdue.append((due_s, timer, number))
        elif self.is_running:
            self.perform(self.base_plane.woke_late(self.world.clock.now_s - due_s))
            self._run_timer(timer, number)

    def _run_timer(self, timer: Hashable, number: int) -> None:
        if self.is_running and self._timers.get(timer) == number:
            del self._timers[timer]
            self.perform(self.base_plane.handle_timer(timer))

    # -- effects --------------------------------------------------------------------------

    def perform(self, effects: Effects) -> None:
        """Carry out effects on the simulated world."""
        for effect in effects:
            self.perform_one(effect)

    def perform_one(self, effect: object) -> None:
        """Carry out one effect; a subclass adds those of further cores."""
        match effect:
            case SendDatagram(address=address, message=message):
                self.sent_count += 1
                self.world.send_datagram(self, address, message)
            case ReportReceived():
                pass
            case SetTimer(timer=timer, delay_s=delay_s):
                self._set_timer(timer, delay_s)
            case Multicast(message=message):
                self.sent_count += 1
                self.world.multicast(self, message)
            case StreamPing():
                self._stream_ping(effect)
            case Exchange():
                self._exchange(effect)
            case KeepConnections(members=members):
                self.kept = frozenset(record.node_id for record in members)
            case LogLine(text=text):
                self.world.log(self, text)
            case MemberChanged() | SelfDeclaredDead():
                self.world.notice(self, effect)
            case _:
                raise AssertionError(f"nobody performs {effect!r}")

    def _stream_ping(self, ping: StreamPing) -> None:
        """Connect; whichever comes first, the answer or the deadline, counts."""
        open_questions = [ping.probe]

        def ended(answer: StreamAnswer) -> None:
            if open_questions:
                open_questions.clear()
                self.deliver(
                    lambda: self.perform(self.base_plane.stream_ping_ended(ping.probe, answer))
                )

        def reached(target: SimulatedNode) -> None:
            is_expected = target.node_id == ping.node_id
            ended(StreamAnswer.ANSWERED if is_expected else StreamAnswer.ANOTHER_NODE)

        self.world.connect(self, ping.address, reached, lambda: ended(StreamAnswer.REFUSED))
        self.world.clock.call_later(ping.deadline_s, ended, StreamAnswer.SILENT)

    def _exchange(self, exchange: Exchange) -> None:
        open_questions = [exchange.address]

        def ended(sender_id: NodeId | None, reply: PushPull | None) -> None:
            if open_questions:
                open_questions.clear()
                self.deliver(
                    lambda: self.perform(
                        self.base_plane.exchange_ended(exchange.address, sender_id, reply)
                    )
                )

        def reached(target: SimulatedNode) -> None:
            effects, reply = target.base_plane.handle_exchange(self.node_id, exchange.message)
            target.perform(effects)
            clock = self.world.clock
            clock.call_later(self.world.network.delay_s(), ended, target.node_id, reply)

        self.world.connect(self, exchange.address, reached, lambda: ended(None, None))
        self.world.clock.call_later(EXCHANGE_DEADLINE_S, ended, None, None)
