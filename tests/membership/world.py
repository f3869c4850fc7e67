"""A small world around shipped membership cores, in which a test decides every step.

Datagrams, connections and resets wait in lists until somebody carries, loses or copies them;
time stands still until it is moved. Unlike ``grid/simulation`` nothing here is random.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random

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
from grid.membership.messages import MemberRecord, MembershipMessage, MemberState, PushPull
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.types import NODE_ID_BYTES, Address, LogLine, NodeId, SetTimer
from grid.wire.catalog import decode_membership, encode
from grid.wire.datagram import DATAGRAM_BYTES_MAX, ENVELOPE_BYTES

EXCHANGE_DEADLINE_S = 5.0
RESTART_PAUSE_S = 0.5
IN_FLIGHT_MAX = 200
"""Datagrams under way; the oldest are lost beyond that."""

OPTIONS = MembershipOptions()


@dataclass(frozen=True, slots=True)
class Flying:
    """A datagram under way."""

    sender_id: NodeId
    source: Address
    target: Address
    body: bytes


@dataclass(slots=True, eq=False)
class Contact:
    """An attempt to connect that has not ended yet."""

    asker: Node
    wish: StreamPing | Exchange
    deadline_s: float


@dataclass(slots=True, eq=False)
class Ending:
    """A reset of a kept connection that is under way to `keeper`."""

    keeper: Node
    node_id: NodeId


Watcher = Callable[["Node"], None]
"""Called after every event of a node."""


class Node:
    """What ``process/driver.py`` does for one core."""

    def __init__(self, world: World, slot: int, core: Membership) -> None:
        self.world = world
        self.slot = slot
        self.core = core
        self.is_running = True
        self.is_paused = False
        self.timers: dict[Hashable, float] = {}
        self.kept: frozenset[NodeId] = frozenset()
        self.exchanges: set[Address] = set()
        """Where it has asked for a list and not been told the end of that."""
        self.blamed: list[MemberRecord] = []
        self.inbox: list[tuple[NodeId, Address, MembershipMessage]] = []
        self._waiting: list[Callable[[], None]] = []
        self._woke_s = 0.0

    @property
    def id(self) -> NodeId:
        return self.core.own.node_id

    @property
    def address(self) -> Address:
        return self.core.own.address

    def receive(self, sender_id: NodeId, source: Address, message: MembershipMessage) -> None:
        if self.is_paused:
            self.inbox.append((sender_id, source, message))
            return
        self._check_refutation(sender_id, message, lambda: self._handle(sender_id, source, message))

    def call(self, action: Callable[[], None]) -> None:
        """Do it now, or when the node goes on."""
        if self.is_paused:
            self._waiting.append(action)
        elif self.is_running:
            action()

    def fire(self, timer: Hashable, due_s: float) -> None:
        """Run one timer, as the driver does, unless it was set anew since."""
        if self.timers.get(timer) != due_s or not self.is_running:
            return
        del self.timers[timer]
        lateness_s = self.world.now_s - due_s
        if lateness_s >= OPTIONS.late_s and due_s > self._woke_s:
            self._woke_s = self.world.now_s
            for effect in self.core.woke_late(lateness_s):
                self._perform_one(effect)  # Not watched: the timer is between two chairs.
        if timer not in self.timers and self.is_running:
            self.perform(
                self.core.handle_timer(timer, has_table=True, members_with_table=frozenset())
            )

    def exchange_ended(
        self, address: Address, sender_id: NodeId | None, reply: PushPull | None
    ) -> None:
        self.exchanges.remove(address)
        self.perform(self.core.exchange_ended(address, sender_id, reply))

    def resume(self) -> None:
        """Go on: read what waits, then run the timers that are due."""
        self.is_paused = False
        inbox, self.inbox = self.inbox, []
        for arrived in inbox:
            if self.is_running:
                self.receive(*arrived)
        self.blamed.clear()
        lateness_s = self.world.now_s - min(self.timers.values(), default=self.world.now_s)
        while self.is_running and (overdue := self._overdue()):
            for due_s, _, timer in overdue:
                self.fire(timer, due_s)
        if lateness_s >= OPTIONS.stall_s:
            assert self.blamed == [], "a sleeper blames nobody"
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            self.call(action)

    def _overdue(self) -> list[tuple[float, int, Hashable]]:
        due = [(due_s, n, timer) for n, (timer, due_s) in enumerate(self.timers.items())]
        return sorted(entry for entry in due if entry[0] <= self.world.now_s)

    def _handle(self, sender_id: NodeId, source: Address, message: MembershipMessage) -> None:
        self.perform(self.core.handle_datagram(sender_id, source, message))

    def _check_refutation(
        self, sender_id: NodeId, message: MembershipMessage, handle: Callable[[], None]
    ) -> None:
        """Whatever a member says against this node is refuted by a higher incarnation."""
        is_believed = self.core.members.get_living(sender_id) is not None
        claims: Sequence[MemberRecord] = getattr(message, "updates", ())
        handle()
        for claim in claims:
            is_accusation = claim.id == self.id and claim.state is MemberState.SUSPECT
            if is_believed and is_accusation and not self.core.own.state.is_gone:
                assert self.core.own.incarnation > claim.incarnation

    def perform(self, effects: Sequence[object]) -> None:
        for effect in effects:
            self._perform_one(effect)
        self.world.watch(self)

    def _perform_one(self, effect: object) -> None:
        world = self.world
        match effect:
            case SendDatagram(address=address, message=message):
                world.send(self, address, message)
            case Multicast(message=message):
                for address in world.addresses:
                    if address != self.address:
                        world.send(self, address, message)
            case SetTimer(timer=timer, delay_s=delay_s):
                self.timers[timer] = world.now_s + delay_s
            case StreamPing(deadline_s=deadline_s):
                world.contacts.append(Contact(self, effect, world.now_s + deadline_s))
            case Exchange(address=address):
                self.exchanges.add(address)
                world.contacts.append(Contact(self, effect, world.now_s + EXCHANGE_DEADLINE_S))
            case KeepConnections(members=members):
                self.kept = frozenset(member.node_id for member in members)
            case SelfDeclaredDead():
                world.stop(self)
            case MemberChanged(record=record):
                if record.state in (MemberState.SUSPECT, MemberState.DEAD):
                    self.blamed.append(record)
            case ReportReceived() | LogLine():
                pass
            case _:
                raise AssertionError(f"nobody performs {effect!r}")


class World:
    """Some machines with a node each; see the module."""

    def __init__(self, size: int, seed: int, discovery: DiscoveryOptions, watch: Watcher) -> None:
        self.now_s = 0.0
        self.addresses = [Address(f"10.0.0.{slot + 1}", 7701) for slot in range(size)]
        self.nodes: list[Node | None] = [None] * size
        self.down: set[int] = set()
        """Machines that are switched off."""
        self.stopped_s: dict[int, float] = {}
        """Where a node was declared dead, and when: its supervisor starts another one."""
        self.flying: list[Flying] = []
        self.contacts: list[Contact] = []
        self.endings: list[Ending] = []
        self.watch = watch
        self._discovery = discovery
        self._random = Random(seed)

    def running(self) -> list[Node]:
        return [node for node in self.nodes if node is not None]

    def awake(self) -> list[Node]:
        return [node for node in self.running() if not node.is_paused]

    # -- life -----------------------------------------------------------------------------

    def start(self, slot: int) -> Node:
        """Start a node with a new boot id on a machine without one."""
        assert self.nodes[slot] is None
        self.down.discard(slot)
        self.stopped_s.pop(slot, None)
        own = MemberRecord(
            id=self._random.randbytes(NODE_ID_BYTES),
            name=f"n{slot}",
            hosts=(self.addresses[slot].host,),
            port=self.addresses[slot].port,
            pid=1,
            storage_processes=1,
            workers=1,
            incarnation=0,
            state=MemberState.ALIVE,
        )
        core = Membership(
            own,
            OPTIONS,
            self._discovery,
            Random(self._random.random()),
            lambda: self.now_s,
            report=lambda: b"report",
        )
        node = self.nodes[slot] = Node(self, slot, core)
        node.perform(core.start())
        return node

    def kill(self, node: Node, *, with_machine: bool) -> None:
        """End its process: its machine tells those who keep a connection, if it still runs."""
        if not node.is_running:
            return
        node.is_running = False
        self.nodes[node.slot] = None
        self.contacts = [contact for contact in self.contacts if contact.asker is not node]
        self.endings = [ending for ending in self.endings if ending.keeper is not node]
        if with_machine:
            self.down.add(node.slot)
            return
        keepers = [other for other in self.running() if node.id in other.kept]
        self.endings += [Ending(keeper, node.id) for keeper in keepers]

    def stop(self, node: Node) -> None:
        """It has learnt that it is held for dead."""
        if node.is_running:
            self.kill(node, with_machine=False)
            self.stopped_s[node.slot] = self.now_s

    # -- the network ----------------------------------------------------------------------

    def send(self, sender: Node, target: Address, message: MembershipMessage) -> None:
        body = encode(message)
        assert len(body) + ENVELOPE_BYTES <= DATAGRAM_BYTES_MAX
        self.flying.append(Flying(sender.id, sender.address, target, body))
        del self.flying[:-IN_FLIGHT_MAX]

    def node_at(self, address: Address) -> Node | None:
        return self.nodes[self.addresses.index(address)] if address in self.addresses else None

    def arrive(self, datagram: Flying) -> None:
        target = self.node_at(datagram.target)
        if target is not None:
            message = decode_membership(datagram.body)
            target.receive(datagram.sender_id, datagram.source, message)

    def connect(self, contact: Contact, *, reply_is_lost: bool = False) -> bool:
        """Let an attempt to connect come to its end; False if nothing answers (yet)."""
        target = self.node_at(contact.wish.address)
        if target is not None and target.is_paused:
            return False
        if target is None and self.addresses.index(contact.wish.address) in self.down:
            return False
        self.contacts.remove(contact)
        if isinstance(contact.wish, StreamPing):
            self._answer_ping(contact, contact.wish, target)
        else:
            self._answer_exchange(contact, contact.wish, target, reply_is_lost)
        return True

    def _answer_ping(self, contact: Contact, ping: StreamPing, target: Node | None) -> None:
        if target is None:
            answer = StreamAnswer.REFUSED
        elif target.id == ping.node_id:
            answer = StreamAnswer.ANSWERED
        else:
            answer = StreamAnswer.ANOTHER_NODE
        asker = contact.asker
        asker.call(lambda: asker.perform(asker.core.stream_ping_ended(ping.probe, answer)))

    def _answer_exchange(
        self, contact: Contact, exchange: Exchange, target: Node | None, reply_is_lost: bool
    ) -> None:
        asker, address, reply = contact.asker, exchange.address, None
        target_id = None
        if target is not None:
            effects, answer = target.core.handle_exchange(asker.id, exchange.message)
            if not reply_is_lost:
                target_id, reply = target.id, answer
            target.perform(effects)
        asker.call(lambda: asker.exchange_ended(address, target_id, reply))

    def give_up(self, contact: Contact) -> None:
        """Let an attempt to connect end without an answer."""
        self.contacts.remove(contact)
        asker, wish = contact.asker, contact.wish
        if isinstance(wish, StreamPing):
            silent = StreamAnswer.SILENT
            asker.call(lambda: asker.perform(asker.core.stream_ping_ended(wish.probe, silent)))
        else:
            asker.call(lambda: asker.exchange_ended(wish.address, None, None))

    def reset(self, ending: Ending) -> None:
        """Let a keeper notice that its connection has ended."""
        self.endings.remove(ending)
        keeper = ending.keeper
        keeper.call(lambda: keeper.perform(keeper.core.connection_ended(ending.node_id)))

    # -- time -----------------------------------------------------------------------------

    def advance(self, duration_s: float) -> None:
        """Let time pass and timers fire, in order; nothing is carried."""
        self._run(duration_s, lambda: None)

    def run(self, duration_s: float, sides: Sequence[int] = ()) -> None:
        """Let time pass and carry everything at once, but nothing between two `sides`."""

        def is_cut(one: Address, other: Address) -> bool:
            ends = [self.addresses.index(end) for end in (one, other) if end in self.addresses]
            return bool(sides) and len(ends) == 2 and sides[ends[0]] != sides[ends[1]]

        self._run(duration_s, lambda: self._carry(is_cut))

    def _run(self, duration_s: float, carry: Callable[[], None]) -> None:
        end_s = self.now_s + duration_s
        while True:
            carry()
            steps = self._steps()
            due_s, step = min(steps, key=lambda item: item[0], default=(end_s + 1, carry))
            if due_s > end_s:
                break
            self.now_s = max(self.now_s, due_s)
            step()
        self.now_s = end_s

    def _steps(self) -> list[tuple[float, Callable[[], None]]]:
        def firing(node: Node, timer: Hashable, due_s: float) -> Callable[[], None]:
            return lambda: node.fire(timer, due_s)

        def ending(contact: Contact) -> Callable[[], None]:
            return lambda: self.give_up(contact)

        timers = [(due, firing(n, t, due)) for n in self.awake() for t, due in n.timers.items()]
        return timers + [(c.deadline_s, ending(c)) for c in self.contacts]

    def _carry(self, is_cut: Callable[[Address, Address], bool]) -> None:
        while True:
            batch, self.flying = self.flying, []
            for datagram in batch:
                if not is_cut(datagram.source, datagram.target):
                    self.arrive(datagram)
            for ending in list(self.endings):
                if ending in self.endings:
                    self.reset(ending)
            is_moving = False
            for contact in list(self.contacts):
                if contact in self.contacts and not is_cut(
                    contact.asker.address, contact.wish.address
                ):
                    is_moving |= self.connect(contact)
            if not (self.flying or self.endings or is_moving):
                return
