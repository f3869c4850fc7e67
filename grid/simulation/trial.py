"""One measured run of a crowd: machines die and come back, nodes stall, datagrams are lost.

Responsible for: the schedule (all of it from the seed), and the figures: how soon a death is
detected and known to all, what the protocol sends, and deaths that never happened.

Not responsible for: printing and progress bars (``sim_command.py``).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from grid.membership.effects import MemberChanged
from grid.membership.messages import MemberState
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.simulation.crowd import Crowd, CrowdNode
from grid.simulation.network import NetworkFaults
from grid.types import NodeId, short

WARM_UP_S = 10.0
CRASH_GAP_S = 40.0
DOWN_S = 28.0
"""A machine dies every 40 s and is back 28 s later, so that the size stays what it is. Of two
nodes the survivor needs 12.5 s, and nearly twice as long if it stalls meanwhile."""

MULTICAST_NODES_MAX = 128
"""Larger crowds find each other by seeds: a beacon to a thousand is a thousand events."""

SEED_COUNT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate. Everything else follows from `seed`.

    `stalls_per_node_hour` pauses of up to `stall_s_max` seconds; `loss` is a probability;
    without crashes nothing happens but stalls and loss.
    """

    nodes: int
    minutes: float
    loss: float = 0.0
    seed: int = 1
    stalls_per_node_hour: float = 6.0
    stall_s_max: float = 2.0
    has_crashes: bool = True
    membership: MembershipOptions = field(default_factory=MembershipOptions)


@dataclass(slots=True)
class Death:
    """A machine that died, and who knows."""

    victim_id: NodeId
    at_s: float
    ignorant: set[NodeId]
    first_s: float | None = None
    last_s: float | None = None


@dataclass(slots=True)
class Outcome:
    """The figures of one trial; `document` gives them as JSON wants them."""

    plan: Plan
    node_hours: float = 0.0
    first_detection_s: list[float] = field(default_factory=list)
    all_know_s: list[float] = field(default_factory=list)
    undetected: int = 0
    stalls: int = 0
    datagrams_per_member_period: float = 0.0
    max_datagram_bytes: int = 0
    false_deaths: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    trace_hash: str = ""

    def document(self) -> dict[str, Any]:
        """Return the figures; times are None when nothing died."""
        return {
            "nodes": self.plan.nodes,
            "minutes": self.plan.minutes,
            "loss": self.plan.loss,
            "seed": self.plan.seed,
            "node_hours": round(self.node_hours, 3),
            "crashes": len(self.all_know_s) + self.undetected,
            "undetected": self.undetected,
            "stalls": self.stalls,
            "first_detection_s": summary(self.first_detection_s),
            "all_know_s": summary(self.all_know_s),
            "datagrams_per_member_period": round(self.datagrams_per_member_period, 3),
            "max_datagram_bytes": self.max_datagram_bytes,
            "false_deaths": len(self.false_deaths),
            "wall_s": round(self.wall_s, 2),
            "trace_hash": self.trace_hash,
        }


def summary(values_s: list[float]) -> dict[str, float | None]:
    """Return median and maximum, to the millisecond."""
    if not values_s:
        return {"p50": None, "max": None}
    return {"p50": round(statistics.median(values_s), 3), "max": round(max(values_s), 3)}


class Trial:
    """A trial under way."""

    def __init__(self, plan: Plan) -> None:
        """Prepare the crowd; `run` does the rest."""
        self._plan = plan
        self._random = Random(plan.seed ^ 0x5EED)
        self.outcome = Outcome(plan)
        seeds = tuple(f"10.0.0.{number}:7701" for number in range(min(SEED_COUNT, plan.nodes)))
        self.crowd = Crowd(
            plan.seed,
            faults=NetworkFaults(loss=plan.loss),
            membership_options=plan.membership,
            discovery_options=DiscoveryOptions(
                multicast=plan.nodes <= MULTICAST_NODES_MAX, seeds=seeds
            ),
            on_change=self._on_change,
        )
        self._deaths: dict[NodeId, Death] = {}
        self._open: dict[NodeId, Death] = {}
        self._false_ids: set[NodeId] = set()
        self._down_s = 0.0

    def run(self, on_progress: Callable[[float], None] | None = None) -> Outcome:
        """Run to the end; `on_progress` gets the simulated seconds done, once each."""
        started_s = time.perf_counter()
        plan, clock = self._plan, self.crowd.clock
        self.crowd.form(plan.nodes)
        self.crowd.datagram_count = 0
        end_s = 60 * plan.minutes
        if plan.has_crashes and plan.nodes > 1:
            clock.call_later(WARM_UP_S, self._crash_somebody)
        if plan.stalls_per_node_hour > 0:
            self._plan_stall()
        while clock.now_s < end_s:
            clock.run_until(min(end_s, clock.now_s + 1.0))
            if on_progress is not None:
                on_progress(clock.now_s)
        self._sum_up(end_s)
        self.outcome.wall_s = time.perf_counter() - started_s
        return self.outcome

    def _sum_up(self, end_s: float) -> None:
        outcome, crowd = self.outcome, self.crowd
        for death in self._deaths.values():
            if death.last_s is not None and death.first_s is not None:
                outcome.first_detection_s.append(death.first_s - death.at_s)
                outcome.all_know_s.append(death.last_s - death.at_s)
            elif end_s - death.at_s > DOWN_S:
                outcome.undetected += 1
        node_s = self._plan.nodes * end_s - self._down_s
        outcome.node_hours = node_s / 3600
        period_s = crowd.membership_options.protocol_period_s
        outcome.datagrams_per_member_period = crowd.datagram_count / (node_s / period_s)
        outcome.max_datagram_bytes = crowd.datagram_bytes_max
        outcome.trace_hash = crowd.trace_hash()

    # -- what happens to the crowd --------------------------------------------------------

    def _crash_somebody(self) -> None:
        clock = self.crowd.clock
        clock.call_later(CRASH_GAP_S, self._crash_somebody)
        end_s = 60 * self._plan.minutes
        candidates = [node for node in self.crowd.crowd if not node.is_paused]
        if len(candidates) < 2 or end_s - clock.now_s < DOWN_S:
            return
        victim = self._random.choice(candidates)
        death = Death(
            victim.node_id,
            clock.now_s,
            {node.node_id for node in self.crowd.crowd if node is not victim},
        )
        self._deaths[victim.node_id] = self._open[victim.node_id] = death
        victim.crash()
        self._down_s += DOWN_S
        clock.call_later(DOWN_S, self._bring_back, victim)

    def _bring_back(self, victim: CrowdNode) -> None:
        self._open.pop(victim.node_id, None)
        self.crowd.restart(victim, after_s=0.0)

    def _plan_stall(self) -> None:
        rate_per_s = self._plan.stalls_per_node_hour * self._plan.nodes / 3600
        self.crowd.clock.call_later(self._random.expovariate(rate_per_s), self._stall_somebody)

    def _stall_somebody(self) -> None:
        self._plan_stall()
        node = self._random.choice(self.crowd.crowd)
        if not node.is_paused:
            self.outcome.stalls += 1
            node.pause()
            length_s = self._random.uniform(0.1, self._plan.stall_s_max)
            self.crowd.clock.call_later(length_s, node.resume)

    # -- what the nodes believe -----------------------------------------------------------

    def _on_change(self, node: CrowdNode, change: MemberChanged) -> None:
        if change.record.state is not MemberState.DEAD:
            return
        subject_id, now_s = change.record.node_id, self.crowd.clock.now_s
        death = self._open.get(subject_id)
        if death is not None:
            death.first_s = now_s if death.first_s is None else death.first_s
            death.ignorant.discard(node.node_id)
            if not death.ignorant:
                death.last_s = now_s
        elif subject_id not in self._deaths and subject_id not in self._false_ids:
            self.outcome.false_deaths.append(
                f"{now_s:.3f} s: {node.plane.own.name} holds {change.record.name} "
                f"({short(subject_id)}) for dead"
            )
            self._false_ids.add(subject_id)  # Counted once, however many believe it.
