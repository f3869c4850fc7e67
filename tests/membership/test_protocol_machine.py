"""Membership under every order of events that a machine can think of.

Hypothesis drives three to five shipped cores: it delivers, loses, copies and reorders what is
under way, moves time, kills, pauses and restarts. After every event ``invariants.py`` is
checked; in the end the network is whole again and all must agree on who is there.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from grid.membership.messages import MemberState
from grid.membership.options import DiscoveryOptions

from .invariants import Watch
from .world import RESTART_PAUSE_S, Node, World

HEALING_S = 120.0
LASTING_S = 20.0
"""What all have agreed on for so long stays: longer than a suspicion and its probe."""

SETTLED_S = 5.0
places = st.integers(0, 4)
indexes = st.integers(0, 199)


class ProtocolMachine(RuleBasedStateMachine):
    """The rules; an index that is too large wraps around."""

    world: World

    @initialize(
        size=st.integers(3, 5),
        seed=st.integers(0, 2**16),
        multicast=st.booleans(),
        is_settled=st.sampled_from([True, True, True, False]),
    )
    def begin(self, size: int, seed: int, multicast: bool, is_settled: bool) -> None:
        # Every address is a seed: were the only two of them gone, nobody could meet anybody.
        seeds = tuple(f"10.0.0.{slot + 1}:7701" for slot in range(size))
        options = DiscoveryOptions(multicast=multicast, seeds=() if multicast else seeds)
        self.world = World(size, seed, options, Watch())
        for slot in range(size):
            self.world.start(slot)
        if is_settled:
            self.world.run(SETTLED_S)

    # -- the network ----------------------------------------------------------------------

    @precondition(lambda self: self.world.flying)
    @rule(index=indexes, count=st.integers(1, 10))
    def deliver(self, index: int, count: int) -> None:
        for _ in range(count):
            if self.world.flying:
                self.world.arrive(self.world.flying.pop(index % len(self.world.flying)))

    @precondition(lambda self: self.world.flying)
    @rule(index=indexes, count=st.integers(1, 10))
    def lose(self, index: int, count: int) -> None:
        start = index % len(self.world.flying)
        del self.world.flying[start : start + count]

    @precondition(lambda self: self.world.flying)
    @rule(index=indexes)
    def duplicate(self, index: int) -> None:
        self.world.flying.append(self.world.flying[index % len(self.world.flying)])

    @precondition(lambda self: self.world.contacts)
    @rule(index=indexes, reply_is_lost=st.booleans())
    def connect(self, index: int, reply_is_lost: bool) -> None:
        contact = self.world.contacts[index % len(self.world.contacts)]
        self.world.connect(contact, reply_is_lost=reply_is_lost)

    @precondition(lambda self: self.world.contacts)
    @rule(index=indexes)
    def fail_to_connect(self, index: int) -> None:
        self.world.give_up(self.world.contacts[index % len(self.world.contacts)])

    @precondition(lambda self: self.world.endings)
    @rule(index=indexes)
    def reset(self, index: int) -> None:
        self.world.reset(self.world.endings[index % len(self.world.endings)])

    @rule(keeper=places, other=places)
    def break_connection(self, keeper: int, other: int) -> None:
        """A router forgets a connection between two that live."""
        one, two = self.node(keeper), self.node(other)
        if one is not None and two is not None and two.id in one.kept:
            one.call(lambda: one.perform(one.core.connection_ended(two.id)))

    # -- time -----------------------------------------------------------------------------

    @rule(tenths=st.integers(1, 30))
    def let_time_pass(self, tenths: int) -> None:
        self.world.advance(tenths / 10)

    @rule(tenths=st.integers(1, 150))
    def run_whole(self, tenths: int) -> None:
        self.world.run(tenths / 10)

    @rule(tenths=st.integers(10, 200), sides=st.lists(st.integers(0, 1), min_size=5, max_size=5))
    def run_cut_in_two(self, tenths: int, sides: list[int]) -> None:
        self.world.run(tenths / 10, sides)

    # -- life -----------------------------------------------------------------------------

    @rule(place=places, with_machine=st.booleans())
    def kill(self, place: int, with_machine: bool) -> None:
        node = self.node(place)
        if node is not None:
            self.world.kill(node, with_machine=with_machine)

    @rule(place=places)
    def leave(self, place: int) -> None:
        node = self.node(place)
        if node is not None and not node.is_paused:
            node.perform(node.core.leave())
            assert node.core.own.state is MemberState.LEFT
            self.world.kill(node, with_machine=False)

    @rule(place=places)
    def restart(self, place: int) -> None:
        slot = place % len(self.world.nodes)
        if self.world.nodes[slot] is None:
            self.world.start(slot)

    @rule(place=places)
    def pause(self, place: int) -> None:
        node = self.node(place)
        if node is not None:
            node.is_paused = True

    @rule(place=places)
    def resume(self, place: int) -> None:
        node = self.node(place)
        if node is not None and node.is_paused:
            node.resume()

    @rule(place=places, tenths=st.integers(10, 250), is_cut=st.booleans())
    def stall(self, place: int, tenths: int, is_cut: bool) -> None:
        """A node stops for a while, perhaps when it has just lost sight of the others."""
        node = self.node(place)
        if node is None or node.is_paused:
            return
        if is_cut:
            sides = [int(slot == node.slot) for slot in range(len(self.world.nodes))]
            self.world.run(3.0, sides)
        node.is_paused = True
        self.world.run(tenths / 10)
        if node.is_running:
            node.resume()

    def node(self, place: int) -> Node | None:
        return self.world.nodes[place % len(self.world.nodes)]

    # -- the end --------------------------------------------------------------------------

    def teardown(self) -> None:
        """Faults stop: soon all agree on who runs."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for node in world.running():
            if node.is_paused:
                node.resume()
        end_s, agreed_s = world.now_s + HEALING_S, 0.0
        while world.now_s < end_s and agreed_s < LASTING_S:
            world.run(RESTART_PAUSE_S)
            agreed_s = agreed_s + RESTART_PAUSE_S if self.all_agree() else 0.0
            for slot in list(world.stopped_s):
                world.start(slot)
        assert self.all_agree()

    def all_agree(self) -> bool:
        expected = [(node.id, MemberState.ALIVE) for node in self.world.running()]
        views = [
            [(member.node_id, member.state) for member in node.core.members.living()]
            for node in self.world.running()
        ]
        return not self.world.stopped_s and all(view == sorted(expected) for view in views)


ProtocolMachine.TestCase.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    stateful_step_count=30,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestProtocol = ProtocolMachine.TestCase
