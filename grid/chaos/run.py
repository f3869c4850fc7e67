"""The run: work, kill, wait until all copies are back, look at everything, and again.

A round is what happens between two such looks; at most one node dies in it. Runs in: the main
thread of the command. Workers have threads of their own, nodes are processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from grid.chaos.ballast import MAP as BALLAST_MAP
from grid.chaos.ballast import Ballast
from grid.chaos.judge import Judge
from grid.chaos.keyspace import KeySpace
from grid.chaos.memory import MemoryWatch
from grid.chaos.plan import Plan, Wishes
from grid.chaos.report import Tally
from grid.chaos.state import State, state_from
from grid.chaos.target import Client, Nodes
from grid.chaos.workload import MAP, Workload
from grid.errors import ConnectError, GridError
from grid.verification.findings import Findings
from grid.verification.history import Disruption

CLIENTS = 4
POLL_S, POLL_QUICKLY_S = 0.05, 0.005
SAFE_DEADLINE_S = 60.0
"""Copies that are not back after this time count as never restored."""

MOTION_DEADLINE_S = 10.0
LONG_WAIT_S = 1.0
"""Longer than a death that is noticed at once takes to be mended: worth a line."""

UNJUDGED_MAX = 40_000
"""Operations kept in memory before a look at everything without any kill: some 20 MB."""


class Narrator(Protocol):
    """Who tells people how it goes."""

    def say(self, text: str) -> None:
        """Something has happened."""

    def show(self, elapsed_s: float, text: str) -> None:
        """This is how it stands."""


def start_cluster(nodes: Nodes, count: int) -> list[Client]:
    """Start `count` nodes; return the clients of the workload, and one more for the run itself.

    Raises: GridError when a node does not start.
    """
    for _ in range(count):
        nodes.wait_until_ready(nodes.start())
    return [nodes.client() for _ in range(CLIENTS + 1)]


class Run:
    """One run of chaos. `findings` and `tally` are worth reading also after an interruption."""

    def __init__(
        self,
        wishes: Wishes,
        nodes: Nodes,
        clients: list[Client],
        narrator: Narrator,
        *,
        keys: KeySpace | None = None,
        ballast: int = 0,
    ) -> None:
        """Prepare; the last of `clients` is the run's own."""
        self.tally = Tally()
        self._wishes = wishes
        self._nodes = nodes
        self._narrator = narrator
        self._plan = Plan(wishes)
        self._keys = keys or KeySpace()
        *working, self._observer = clients
        self._workload = Workload(working, self._keys, rate=wishes.rate, seed=wishes.seed)
        self._judge = Judge(self._observer, self._observer.map(MAP), self._keys, seed=wishes.seed)
        self._ballast = Ballast(self._observer.map(BALLAST_MAP), ballast)
        self._memory = MemoryWatch()
        self._start_s = time.monotonic()
        self._end_s = self._start_s + 60 * wishes.minutes
        self._is_one_missing = False
        self._disruptions: list[Disruption] = []
        self._is_excused = False
        self._acknowledged_before = 0
        """Acknowledged writes at the time of the last kill."""

    @property
    def findings(self) -> Findings:
        """All that was found so far."""
        return self._judge.checker.totals

    def run(self) -> None:
        """Do it all.

        Raises: GridError when the cluster cannot be used at all, or a client fails.
        """
        try:
            if not self._wait_for(self._is_quiet, SAFE_DEADLINE_S):
                raise GridError(f"the cluster did not become safe: {self._look().describe()}")
            self._ballast.fill()
            self._start_s = time.monotonic()
            self._end_s = self._start_s + 60 * self._wishes.minutes
            self._workload.start()
            self._narrator.say("working")
            while time.monotonic() < self._end_s and not self._plan.is_over(self.tally.kills):
                if self._is_kill_due():
                    self._kill_and_recover()
                    self._settle()
                elif self._workload.unjudged() > UNJUDGED_MAX:
                    self._settle()
            if self._workload.unjudged():
                self._settle()
            self._check_ballast()
        finally:
            self._workload.end()
            self.tally.longest_unavailable_s = self._workload.availability.longest_s
            self.tally.partitions_lost = self._judge.losses_accepted
            self.tally.growths = self._memory.growths()

    # -- kills ----------------------------------------------------------------------------

    def _is_kill_due(self) -> bool:
        """Watch for a moment; return whether it is time to kill."""
        state = self._watch(POLL_S)
        if not self._plan.may_kill(len(self._nodes.alive()) + self._is_one_missing):
            return False
        if not self._plan.is_due(self._workload.acknowledged() - self._acknowledged_before):
            return False
        return self._is_quiet(state)

    def _kill_and_recover(self) -> None:
        if self._is_one_missing:
            # It comes back now, and its filling is the motion to kill in.
            self._restart()
            self._wait_for(
                lambda state: state.is_in_motion, MOTION_DEADLINE_S, poll_s=POLL_QUICKLY_S
            )
            time.sleep(self._plan.motion_delay_s())
        else:
            time.sleep(self._plan.calm_delay_s())
        victim, killed_s = self._kill(self._look())
        restart_s = killed_s + self._plan.restart_delay_s()
        self._is_one_missing = self._wishes.restart
        is_to_return = self._wishes.restart and not self._plan.is_next_in_motion
        copies = self._wait_for(
            lambda state: state.has_replaced(victim) and state.safe == state.total,
            SAFE_DEADLINE_S,
            restart_s=restart_s if is_to_return else None,
        )
        if copies:
            self.tally.copies_restored_s.append(time.monotonic() - killed_s)
            self._narrator.say(f"all copies are back after {time.monotonic() - killed_s:.2f} s")
        if is_to_return:
            self._wait_for(
                lambda state: not self._is_one_missing, SAFE_DEADLINE_S, restart_s=restart_s
            )
        if not copies or not self._wait_for(self._is_quiet, SAFE_DEADLINE_S):
            self.tally.not_restored += 1
            self._narrator.say(f"copies are still missing: {self._look().describe()}")

    def _is_quiet(self, state: State) -> bool:
        """Whether all nodes take part and nothing moves any more."""
        return state.is_safe and state.alive >= set(self._nodes.alive())

    def _kill(self, state: State) -> tuple[str, float]:
        """Kill a node now; return its name, and when."""
        victim = self._plan.victim(self._nodes.alive())
        written = self._workload.acknowledged() - self._acknowledged_before
        self._keys.change_pool()
        begin_s = time.monotonic()
        self._nodes.kill(victim)
        self._disruptions.append(Disruption(begin_s, time.monotonic()))
        self._acknowledged_before += written
        self._is_excused = self._is_excused or state.unprotected > 0
        self.tally.kills += 1
        self.tally.kills_in_motion += state.is_in_motion
        moment = f"in motion ({state.describe()})" if state.is_in_motion else "when all was safe"
        self._narrator.say(f"killed {victim} {moment}, after {written:,} acknowledged writes")
        return victim, begin_s

    def _restart(self) -> None:
        name = self._nodes.start()
        self._is_one_missing = False
        self.tally.restarts += 1
        self._narrator.say(f"started {name}")

    # -- looks ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Hold the workload and judge what it has seen."""
        operations = self._workload.hold()
        found = self._judge.settle(operations, self._disruptions, is_excused=self._is_excused)
        findings = found.findings
        if self._disruptions:
            report = {"lost": found.lost, "reported_at_most": found.reported_at_most}
            self.tally.promotion_reports.append(report)
        self._narrator.say(
            f"judged {findings.operations:,} operations, {findings.applies:,} of them applies: "
            f"{findings.verdict}; {findings.lost} acknowledged writes lost, "
            f"{findings.lost_unreported} of them unreported, "
            f"{found.reported_at_most} reported at most, {findings.stale_reads} stale reads"
        )
        for example in findings.examples:
            self._narrator.say(example)
        self._disruptions = []
        self._is_excused = False
        self._tell_of_long_wait()
        self._workload.go_on()

    def _tell_of_long_wait(self) -> None:
        """Say so if a partition could not be used for longer than ever before."""
        availability = self._workload.availability
        if availability.longest_s <= self.tally.longest_unavailable_s:
            return
        self.tally.longest_unavailable_s = availability.longest_s
        if availability.longest_s > LONG_WAIT_S:
            self._narrator.say(
                f"partition {availability.longest_partition} could not be used for "
                f"{availability.longest_s:.2f} s, "
                f"{time.monotonic() - availability.longest_since_s:.1f} s ago"
            )

    def _check_ballast(self) -> None:
        missing = self._ballast.missing(self._judge.given_up)
        self.tally.ballast_missing = len(missing)
        if missing:
            self._narrator.say(f"{len(missing)} entries of the ballast are gone: {missing[:5]}")

    def _wait_for(
        self,
        is_so: Callable[[State], bool],
        timeout_s: float,
        *,
        restart_s: float | None = None,
        poll_s: float = POLL_S,
    ) -> bool:
        """Watch until `is_so`; return whether it came to that.

        `restart_s`: when to start the node that is missing, meanwhile.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if self._is_one_missing and restart_s is not None and time.monotonic() >= restart_s:
                self._restart()
            if is_so(self._watch(poll_s)):
                return True
        return False

    def _watch(self, poll_s: float) -> State:
        """Let a moment pass; return how things stand then."""
        time.sleep(poll_s)
        self._workload.check()
        for complaint in self._nodes.complaints():
            self._narrator.say(complaint)
        if self._memory.is_due(time.monotonic()):
            self._memory.add(time.monotonic(), self._nodes.resident_bytes())
        state = self._look()
        if state.lost:
            since_s = self._disruptions[0].begin_s if self._disruptions else self._start_s
            lost = self._judge.accept_losses(since_s)
            if lost:
                self._narrator.say(f"accepted the loss of {len(lost)} partitions")
        self._narrator.show(
            time.monotonic() - self._start_s,
            f"{self._workload.acknowledged():,} acknowledged writes, {self.tally.kills} kills; "
            + state.describe(),
        )
        return state

    def _look(self) -> State:
        """Ask for the status, of whoever answers.

        Raises: ConnectError when nobody does for a long time.
        """
        deadline_s = time.monotonic() + SAFE_DEADLINE_S
        while True:
            try:
                return state_from(self._observer.status())
            except ConnectError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)
