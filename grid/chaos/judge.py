"""A quiet moment: read everything, ask what survived, have it judged, compare the reports.

Not here: making the moment quiet (``workload.py``), the judgement (``verification/``).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from grid.chaos.keyspace import KeySpace
from grid.chaos.target import Client, Entries
from grid.client.entries.tokens import pack_token
from grid.errors import ConnectError, NotEnoughNodesError, OperationError, PartitionLostError
from grid.types import PARTITION_COUNT, PartitionId
from grid.verification.checker import Checker, Quiet
from grid.verification.findings import Findings
from grid.verification.history import Disruption, Loss, Operation

T = TypeVar("T")

CHUNK = 1_024
PATIENCE_S = 60.0
"""How long the look at everything may fail before the run does."""

PAUSE_S = 0.1
ASKED_MAX = 500
"""Writes that are there and are asked about all the same, per round: a sample."""

EVERYWHERE = frozenset(range(PARTITION_COUNT))


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one round came to. `lost`: without whole partitions; `reported_at_most`: by events."""

    findings: Findings
    lost: int
    reported_at_most: int


class Judge:
    """Looks at everything through one client of its own."""

    def __init__(self, client: Client, entries: Entries, keys: KeySpace, *, seed: int) -> None:
        """Begin with an empty cluster."""
        self.checker = Checker()
        self.given_up: set[int] = set()
        """Partitions that have ever been lost."""
        self.losses_accepted = 0
        self._client = client
        self._entries = entries
        self._keys = keys
        self._random = Random(f"judge {seed}")
        self._losses: list[Loss] = []
        self._events_seen: set[tuple[str, int]] = set()

    def accept_losses(self, since_s: float) -> list[PartitionId]:
        """Give up what is lost, if anything; return it. It was there until `since_s`."""
        lost = list(self._client.lost())
        if lost:
            self._client.accept_loss()
            now_s = time.monotonic()
            self._losses += [Loss(partition, since_s, now_s) for partition in lost]
            self.given_up.update(lost)
            self.losses_accepted += len(lost)
        return lost

    def settle(
        self,
        operations: Sequence[Operation],
        disruptions: Sequence[Disruption],
        *,
        is_excused: bool,
    ) -> Settlement:
        """Judge a round whose operations are all over.

        `is_excused`: more than one failure was open at a time.
        Raises: GridError when the cluster cannot be read.
        """
        since_s = min((each.begin_s for each in disruptions), default=time.monotonic())
        for operation in operations:
            self.checker.record(operation)
        self._patiently(self._flush, since_s)
        begin_s = time.monotonic()
        values: dict[Hashable, Hashable] = {}
        keys = self._keys.all_keys()
        for start in range(0, len(keys), CHUNK):
            ask = functools.partial(self._entries.get_all, keys[start : start + CHUNK])
            values.update(self._patiently(ask, since_s))
        doubted = self.checker.examine(
            Quiet(
                values=values,
                begin_s=begin_s,
                losses=tuple(self._losses),
                disruptions=disruptions,
                excused=EVERYWHERE if is_excused else frozenset(),
            )
        )
        self._losses.clear()
        reported = self._reported_at_most()
        findings = self.checker.settle(
            self._answers(doubted, since_s, is_reported=is_excused and reported > 0)
        )
        return Settlement(findings, findings.lost - findings.lost_with_partition, reported)

    def _flush(self) -> None:
        try:
            self._client.flush()
        except NotEnoughNodesError:
            return  # Then there is no backup to wait for; nothing dies before the next look.

    def _answers(
        self, doubted: Sequence[Operation], since_s: float, *, is_reported: bool
    ) -> dict[Operation, bool]:
        """Ask about what is in doubt and about some that is not.

        Deletes, increments and writes of many entries have no token. Where they may be lost at all,
        `is_reported` says whether a promotion has told of losses.
        """
        visible = self.checker.visible()
        asked = dict.fromkeys(doubted)
        asked.update(dict.fromkeys(self._random.sample(visible, k=min(ASKED_MAX, len(visible)))))
        answers: dict[Operation, bool] = {}
        for write in asked:
            if write.version:
                token = pack_token(write.version, PartitionId(write.partition))
                ask = functools.partial(self._client.survived, token)
                answers[write] = self._patiently(ask, since_s)
            elif is_reported:
                answers[write] = False
        return answers

    def _reported_at_most(self) -> int:
        """Return the sum of all losses that promotions have told of since the last call."""
        total = 0
        for event in self._client.events():
            name = (event.node, event.number)
            if event.kind == "promoted" and name not in self._events_seen:
                self._events_seen.add(name)
                total += int(event.fields["lost_at_most"])
        return total

    def _patiently(self, ask: Callable[[], T], since_s: float) -> T:
        """Ask until there is an answer; partitions that are lost are given up."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except PartitionLostError:
                if not self.accept_losses(since_s) and time.monotonic() > deadline_s:
                    raise
            except (OperationError, ConnectError):
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(PAUSE_S)
