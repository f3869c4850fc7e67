"""Storms: random mixtures of all faults, each from its seed, and what must hold afterwards.

A storm that breaks an expectation says which, with its seed; ``weather(seed)`` replays it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from grid.membership.effects import MemberChanged, SelfDeclaredDead
from grid.membership.messages import MemberState
from grid.membership.options import DiscoveryOptions
from grid.simulation.crowd import Crowd, CrowdNode
from grid.simulation.network import NetworkFaults
from grid.simulation.node import SimulatedNode
from grid.simulation.world import World
from grid.types import NodeId

from .samples import WatchedCluster

AGREED_WITHIN_S = 60.0
STABLE_FOR_S = 30.0
STALL_S_MAX = 2.0
KNOWN_BY_ALL_S = 25.0

SEEDS = tuple(f"10.0.0.{number}:7701" for number in range(16))
"""So many that one of them lives, whatever happens."""


@dataclass(slots=True)
class Weather:
    """What a storm is made of."""

    nodes: int
    faults: NetworkFaults
    discovery: DiscoveryOptions
    is_harsh: bool
    duration_s: float
    actions: int


@dataclass(slots=True)
class Storm:
    """A storm under way: who was harmed on purpose, and which expectations were broken."""

    world: World
    random: Random
    harmed: set[NodeId] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def pick(self) -> SimulatedNode | None:
        running = [node for node in self.world.running_nodes if not node.is_paused]
        return self.random.choice(running) if len(running) > 1 else None

    def kill_or_crash(self) -> None:
        node = self.pick()
        if node is None:
            return
        self.harmed.add(node.node_id)
        (node.kill if self.random.random() < 0.5 else node.crash)()
        if self.random.random() < 0.7:
            later_s = self.random.choice([0.1, 0.5, 2.0, 8.0, 20.0])
            self.world.clock.call_later(later_s, self._bring_back, node)

    def _bring_back(self, node: SimulatedNode) -> None:
        if self.world.slots[node.number] is node:
            self.world.restart(node, after_s=0.0)

    def join(self) -> None:
        self.world.add()

    def stall(self, longest_s: float = STALL_S_MAX) -> None:
        node = self.pick()
        if node is None:
            return
        if longest_s > STALL_S_MAX:
            self.harmed.add(node.node_id)
        node.pause()
        self.world.clock.call_later(self.random.uniform(0.05, longest_s), node.resume)

    def long_pause(self) -> None:
        self.stall(30.0)

    def block_udp(self) -> None:
        first, second = self._two_hosts()
        self.world.network.block(first, second, udp_only=True)

    def block(self) -> None:
        first, second = self._two_hosts()
        self.world.network.block(first, second)

    def reject(self) -> None:
        self.world.network.reject_streams(*self._two_hosts())

    def split(self) -> None:
        hosts = self._hosts()
        self.random.shuffle(hosts)
        cut = self.random.randrange(1, len(hosts)) if len(hosts) > 1 else 1
        self.world.network.split(hosts[:cut], hosts[cut:])

    def heal(self) -> None:
        self.world.network.heal()

    def slow(self) -> None:
        node = self.pick()
        if node is not None:
            self.harmed.add(node.node_id)
            node.service_s = self.random.choice([0.002, 0.02])

    def _hosts(self) -> list[str]:
        return [node.host for node in self.world.slots]

    def _two_hosts(self) -> tuple[str, str]:
        hosts = self._hosts()
        return self.random.choice(hosts), self.random.choice(hosts)

    def note_death(self, teller: SimulatedNode, change: MemberChanged) -> None:
        if change.record.state is not MemberState.DEAD:
            return
        if change.record.node_id not in self.harmed:
            now_s = self.world.clock.now_s
            said = f"{now_s:.3f} s: {teller.base_plane.own.name} buries {change.record.name}"
            self.broken.append(f"false death: {said}")
            self.harmed.add(change.record.node_id)


def weather(seed: int) -> Weather:
    """Return what the storm of a seed is made of."""
    random = Random(seed)
    by_multicast = random.random() < 0.7
    return Weather(
        nodes=random.choice([2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12]),
        faults=NetworkFaults(
            delay_s_max=random.choice([0.001, 0.002, 0.02, 0.1, 0.3]),
            loss=random.choice([0.0, 0.0, 0.01, 0.03, 0.05]),
            duplication=random.choice([0.0, 0.0, 0.1]),
            reordering=random.choice([0.0, 0.0, 0.2]),
            reorder_s=random.choice([0.1, 0.3]),
        ),
        discovery=DiscoveryOptions(multicast=by_multicast, seeds=() if by_multicast else SEEDS),
        is_harsh=random.random() < 0.6,
        duration_s=random.choice([20.0, 45.0, 90.0]),
        actions=random.randint(3, 14),
    )


def schedule(storm: Storm, plan: Weather) -> None:
    """Plan the actions."""
    kind = storm.random.choice([0, 1, 2])
    gentle: list[Callable[[], None]] = [
        storm.kill_or_crash,
        storm.kill_or_crash,
        storm.stall,
        storm.stall,
        storm.join,
        storm.reject,
        *([storm.block_udp] if kind else []),
    ]
    harsh = [storm.long_pause, storm.split, storm.split, storm.heal, storm.block]
    choices = [*gentle, *harsh, *([storm.slow] if kind == 2 else [])] if plan.is_harsh else gentle
    clock = storm.world.clock
    for _ in range(plan.actions):
        at_s = storm.random.uniform(0, plan.duration_s)
        clock.call_later(at_s, storm.random.choice(choices))


def calm(storm: Storm) -> None:
    """End all faults but loss, delay and what was killed for good."""
    storm.world.network.heal()
    for node in list(storm.world.running_nodes):
        node.service_s = 0.0
        node.resume()


def crowd_storm(seed: int) -> list[str]:
    """Run the storm of a seed over a crowd. Returns: the broken expectations."""
    plan = weather(seed)
    noted: list[Storm] = []

    def on_change(node: CrowdNode, change: MemberChanged) -> None:
        if not plan.is_harsh:
            noted[0].note_death(node, change)

    crowd = Crowd(seed, faults=plan.faults, discovery_options=plan.discovery, on_change=on_change)
    storm = Storm(crowd, Random(seed ^ 0x570A))
    noted.append(storm)
    crowd.form(plan.nodes)
    crowd.clock.run_until(5.0)
    schedule(storm, plan)
    crowd.clock.run_until(5.0 + plan.duration_s)
    calm(storm)
    calm_s = crowd.clock.now_s
    # A machine that was to come back may still do so.
    crowd.clock.run_until(calm_s + 20.0)
    agreed_s = crowd.run_until_one_view(calm_s + AGREED_WITHIN_S + 20.0)
    if agreed_s is None:
        storm.broken.append("no single view 60 s after the faults ended")
        return storm.broken
    ids = [node.node_id for node in crowd.crowd]
    crowd.clock.run_until(crowd.clock.now_s + STABLE_FOR_S)
    if not crowd.has_one_view() or [node.node_id for node in crowd.crowd] != ids:
        storm.broken.append("the view did not stay")
    return storm.broken


class StormyCluster(WatchedCluster):
    """A watched cluster that tells its storm of each death."""

    storm: Storm | None = None
    is_strict = False

    def notice(self, node: SimulatedNode, effect: MemberChanged | SelfDeclaredDead) -> None:
        if isinstance(effect, MemberChanged) and self.is_strict and self.storm is not None:
            self.storm.note_death(node, effect)
        super().notice(node, effect)

    def ids(self) -> set[NodeId]:
        return {node.node_id for node in self.running}


def cluster_storm(seed: int) -> list[str]:
    """Run the storm of a seed over whole control planes. Returns: the broken expectations."""
    plan = weather(seed)
    cluster = StormyCluster(seed, plan.faults, plan.discovery)
    cluster.storm = storm = Storm(cluster, Random(seed ^ 0xC105))
    for _ in range(plan.nodes):
        cluster.add_node(storm.random.uniform(0, 1))
    cluster.run_for(30.0)
    if not cluster.agrees():
        return ["not formed after 30 s"]
    cluster.is_strict = not plan.is_harsh
    schedule(storm, plan)
    cluster.run_for(plan.duration_s)
    calm(storm)
    for _ in range(80):
        cluster.run_for(1.0)
        if cluster.clock.now_s > 55.0 + plan.duration_s and cluster.agrees():
            break
    else:
        what = "table" if cluster.has_one_view() else "view"
        storm.broken.append(f"no single {what} 60 s after the faults ended")
        return storm.broken
    ids = cluster.ids()
    cluster.run_for(STABLE_FOR_S)
    if not cluster.agrees() or cluster.ids() != ids:
        storm.broken.append("view or table did not stay")
    if cluster.partitions_held_twice():
        storm.broken.append("partitions are held twice")
    if cluster.repeated_stamps:
        storm.broken.append("a stamp was used twice")
    return storm.broken
