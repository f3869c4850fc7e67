"""A whole cluster under faults, with clients that write and read, and a checker that judges.

Responsible for: the schedule of faults (all of it from the seed), quiet moments, the judgement:
what the checker finds, and that copies are equal when all is quiet.

Two modes. *Safety*: faults at random; nothing acknowledged may be lost quietly, no read may be
stale. *Liveness*: at the end of each round the faults stop, and the cluster has to become one, with
everything backed, within `SETTLE_S`; that it does not is a fault as well.

Not here: membership alone (``trial.py``), printing (``sim_command.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from grid.simulation.cluster import ClusterNode, SimulatedCluster
from grid.simulation.network import NetworkFaults
from grid.simulation.workload import Workload
from grid.storage.applying import digest_of
from grid.types import PARTITION_COUNT, PartitionId, short
from grid.verification.checker import Checker, Quiet
from grid.verification.findings import Findings
from grid.verification.history import Disruption, Loss, Operation

ROUND_S = 60.0
FAULT_GAP_S = 8.0
"""Between two faults, about; a machine that dies silently takes longer to be noticed."""

RUSH_S = 0.05

SETTLE_S = 120.0
"""After the last fault of a round all must be well within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    """What to simulate. Everything else follows from `seed`.

    `double_faults`: the share of faults that do not wait until the last one is repaired.
    """

    nodes: int = 5
    minutes: float = 10.0
    seed: int = 1
    clients: int = 4
    keys: int = 160
    loss: float = 0.01
    double_faults: float = 0.1


@dataclass(slots=True)
class DataOutcome:
    """What came of it."""

    plan: DataPlan
    findings: Findings = field(default_factory=Findings)
    faults: dict[str, int] = field(default_factory=dict)
    unequal_copies: list[str] = field(default_factory=list)
    double_owners: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    reported_at_most: int = 0
    refused: int = 0
    trace_hash: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether everything was as promised."""
        wrong = (*self.unequal_copies, *self.double_owners, *self.unsettled)
        return self.findings.is_clean and not wrong

    def document(self) -> dict[str, Any]:
        """Return everything as JSON wants it."""
        return {
            "nodes": self.plan.nodes,
            "minutes": self.plan.minutes,
            "seed": self.plan.seed,
            **self.findings.counts(),
            "faults": self.faults,
            "reported_at_most": self.reported_at_most,
            "refused": self.refused,
            "unequal_copies": self.unequal_copies,
            "double_owners": self.double_owners,
            "unsettled": self.unsettled,
            "examples": self.findings.examples,
            "trace_hash": self.trace_hash,
            "verdict": "clean" if self.is_clean else "violated",
        }


class DataTrial:
    """A trial under way."""

    def __init__(self, plan: DataPlan) -> None:
        """Prepare the cluster; `run` does the rest."""
        self._plan = plan
        self._random = Random(plan.seed ^ 0xDA7A)
        self.outcome = DataOutcome(plan)
        self.cluster = SimulatedCluster(plan.seed, faults=NetworkFaults(loss=plan.loss))
        self._checker = Checker()
        self._is_faulty = False
        self._open_faults = 0
        self._excused = False
        self._disruptions: list[Disruption] = []
        self._losses: list[Loss] = []
        self._lost_since_s: dict[int, float] = {}
        self._promotions_seen: dict[bytes, int] = {}

    def run(self, on_progress: Callable[[float], None] | None = None) -> DataOutcome:
        """Run to the end; `on_progress` gets the simulated seconds done, now and then."""
        clock = self.cluster.clock
        for number in range(self._plan.nodes):
            self.cluster.add_node(0.05 * number)
        self._settle("at the start")
        self._workload = Workload(self.cluster, self._checker, self._plan.clients, self._plan.keys)
        self._plan_fault()
        end_s = 60 * self._plan.minutes
        while clock.now_s < end_s:
            self._round(min(ROUND_S, end_s - clock.now_s))
            if on_progress is not None:
                on_progress(clock.now_s)
        self.outcome.findings = self._checker.totals
        self.outcome.refused = self._workload.refused
        self.outcome.trace_hash = self.cluster.trace_hash()
        return self.outcome

    # -- a round --------------------------------------------------------------------------

    def _round(self, length_s: float) -> None:
        self._excused = False
        self._disruptions.clear()
        self._losses.clear()
        self._is_faulty = True
        self._workload.resume()
        self._run_for(length_s)
        self._is_faulty = False
        self._heal()
        self._workload.pause()
        self._run_until(lambda: self._workload.is_quiet, SETTLE_S, "clients do not come to rest")
        self._settle(f"after {self.cluster.clock.now_s:.0f} s")
        self._run_for(1.0)
        self._judge()
        self._compare_copies()

    def _judge(self) -> None:
        begin_s = self.cluster.clock.now_s
        values: list[dict[Hashable, Hashable]] = []
        self._workload.read_all(values.append)
        self._run_until(lambda: bool(values), SETTLE_S, "the keys cannot be read")
        if not values:
            return
        excused = range(PARTITION_COUNT) if self._excused else ()
        doubted = self._checker.examine(
            Quiet(
                values=dict(values[0]),
                begin_s=begin_s,
                losses=list(self._losses),
                disruptions=list(self._disruptions),
                excused=excused,
            )
        )
        answers: list[dict[Operation, bool]] = []
        self._workload.ask_survived(doubted, answers.append)
        self._run_until(lambda: bool(answers), SETTLE_S, "nobody tells what has survived")
        self._checker.settle(answers[0] if answers else {})

    def _compare_copies(self) -> None:
        """When all is quiet every backup equals its primary."""
        table = self.cluster.running[0].plane.follower.table
        stores = {node.node_id: node.store.partitions for node in self.cluster.running}
        assert table is not None, "a settled cluster has a table"
        for p in map(PartitionId, range(PARTITION_COUNT)):
            primary_id, backup_id = table.primary_of(p), table.backup_of(p)
            if primary_id not in stores or backup_id not in stores:
                continue  # Not settled, which has been noted.
            primary = stores[primary_id].by_id.get(p)
            backup = stores[backup_id].copies.get(p)
            states = [h and (digest_of(h), h.sequence) for h in (primary, backup)]
            if states[0] != states[1]:
                self.outcome.unequal_copies.append(
                    f"{self.cluster.clock.now_s:.1f} s: partition {p} is {states[0]} at "
                    f"{short(primary_id)} and {states[1]} at {short(backup_id)}"
                )

    # -- waiting --------------------------------------------------------------------------

    def _run_for(self, seconds: float) -> None:
        end_s = self.cluster.clock.now_s + seconds
        while self.cluster.clock.now_s < end_s:
            self.cluster.clock.run_until(min(end_s, self.cluster.clock.now_s + 0.5))
            self._look()

    def _run_until(self, is_so: Callable[[], bool], deadline_s: float, otherwise: str) -> None:
        end_s = self.cluster.clock.now_s + deadline_s
        while not is_so():
            if self.cluster.clock.now_s >= end_s:
                self.outcome.unsettled.append(f"{self.cluster.clock.now_s:.1f} s: {otherwise}")
                return
            self.cluster.clock.run_until(self.cluster.clock.now_s + 0.1)
            self._look()

    def _settle(self, when: str) -> None:
        def is_well() -> bool:
            self._accept_loss()
            return self.cluster.is_safe() and len(self.cluster.running) == self._plan.nodes

        self._run_until(is_well, SETTLE_S, f"the cluster is not safe {when}")

    def _look(self) -> None:
        """What must hold at every moment."""
        for partition, epoch in self.cluster.double_owners():
            told = f"partition {partition}, epoch {epoch}"
            if told not in self.outcome.double_owners:
                self.outcome.double_owners.append(told)
        for node in self.cluster.running:
            told_before = self._promotions_seen.get(node.node_id, 0)
            for promotion in node.promotions[told_before:]:
                self.outcome.reported_at_most += promotion.lost_at_most
            self._promotions_seen[node.node_id] = len(node.promotions)

    def _accept_loss(self) -> None:
        """A person who is told of lost partitions goes on without them."""
        now_s = self.cluster.clock.now_s
        tables = [node.plane.follower.table for node in self.cluster.running]
        lost = {int(p) for table in tables if table is not None for p in table.lost()}
        for p in lost - self._lost_since_s.keys():
            self._lost_since_s[p] = now_s
        if lost:
            self.cluster.running[0].feed(self.cluster.running[0].plane.accept_loss)
        for p in sorted(self._lost_since_s.keys() - lost):
            begin_s = min((d.begin_s for d in self._disruptions), default=self._lost_since_s[p])
            self._losses.append(Loss(p, begin_s, now_s))
            del self._lost_since_s[p]

    # -- faults ---------------------------------------------------------------------------

    def _plan_fault(self) -> None:
        self.cluster.clock.call_later(self._random.expovariate(1 / FAULT_GAP_S), self._cause_fault)

    def _cause_fault(self) -> None:
        self._plan_fault()
        if not self._is_faulty:
            return
        is_repaired = self.cluster.is_safe() and len(self.cluster.running) == self._plan.nodes
        if not is_repaired:
            if self._random.random() >= self._plan.double_faults:
                return
            self._excused = True
        node = self._random.choice(self.cluster.running)
        if len(self.cluster.running) < 3 or node.is_paused or node.is_leaving:
            return
        kind = self._random.choice(("kill", "kill", "crash", "leave", "pause", "break"))
        self.outcome.faults[kind] = self.outcome.faults.get(kind, 0) + 1
        getattr(self, f"_{kind}")(node)

    def _disrupt(self, seconds: float) -> None:
        now_s = self.cluster.clock.now_s
        self._disruptions.append(Disruption(now_s, now_s + seconds))

    def _kill(self, node: ClusterNode) -> None:
        self._disrupt(5.0)
        self._in_a_rush(node.kill)
        self._come_back(node)

    def _crash(self, node: ClusterNode) -> None:
        self._disrupt(20.0)
        self._in_a_rush(node.crash)
        self._come_back(node)

    def _in_a_rush(self, die: Callable[[], None]) -> None:
        """Die while much is being written, or nothing would be at risk."""
        self._workload.rush(RUSH_S)
        self.cluster.clock.call_later(self._random.uniform(0, RUSH_S), die)

    def _leave(self, node: ClusterNode) -> None:
        node.leave()
        self._come_back(node)

    def _pause(self, node: ClusterNode) -> None:
        length_s = self._random.uniform(0.1, 1.9)
        self._disrupt(length_s)
        node.pause()
        self.cluster.clock.call_later(length_s, node.resume)

    def _break(self, node: ClusterNode) -> None:
        """All that is on its way to and from a node is gone."""
        for other in self.cluster.running:
            if other is not node:
                self.cluster.break_link(node, other)

    def _come_back(self, node: ClusterNode) -> None:
        self.cluster.clock.call_later(self._random.uniform(1.0, 15.0), self._restart, node)

    def _restart(self, node: ClusterNode) -> None:
        if self.cluster.nodes[node.number] is not node:
            return
        if node.is_running:  # It is still leaving.
            self.cluster.clock.call_later(1.0, self._restart, node)
        else:
            self.cluster.restart(node, after_s=0.0)

    def _heal(self) -> None:
        for node in self.cluster.nodes:
            if node.is_paused:
                node.resume()
