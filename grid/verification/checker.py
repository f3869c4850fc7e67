"""The judge: told every operation, shown everything in quiet moments, answers with findings.

Theory of operation. A history is judged in rounds, so that hours of it fit into memory. Within a
round everything is kept; a round ends in a moment when no operation is under way, with a look at
all keys (`examine`). That look may cast doubt on acknowledged writes; the cluster is asked
whether they have survived, and with its answers the round is judged (`settle`). Then each key keeps
the write that it showed and those of unknown outcome, which may still take effect; the rest is
forgotten, and if it is ever read again, no write explains it.

A round of n operations costs O(n log n) and some 400 bytes each; a key without operations costs one
comparison.

Departures and omissions. Writes of unknown outcome stay open for ever. A lost write that was
overwritten later in the same round is not noticed as lost (it does not matter to anybody by then);
who counts losses exactly leaves keys alone between a failure and the end of the round. Reads of
counters other than the last are not judged.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from grid.verification.counter import Counter
from grid.verification.findings import Findings
from grid.verification.history import (
    ABSENT,
    Disruption,
    Kind,
    Loss,
    Operation,
    initial,
)
from grid.verification.key_round import KeyRound
from grid.verification.linearizability import STEPS_MAX
from grid.verification.versions import VersionOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Everything as it is when no operation is under way.

    `values`: of every key; one that is not named is absent. `begin_s`: when the look began.
    `losses`, `disruptions`: of this round. `excused`: partitions in which more than one failure was
    open at a time, so that even what a backup had may be lost, if that is reported.
    """

    values: Mapping[Hashable, Hashable]
    begin_s: float
    losses: Sequence[Loss] = ()
    disruptions: Sequence[Disruption] = ()
    excused: Container[int] = frozenset()


@dataclass(slots=True)
class _Key:
    """What is remembered of a key between rounds."""

    shown: Operation
    open: list[Operation] = field(default_factory=list)


class Checker:
    """Judges the history of one cluster."""

    def __init__(self, *, steps_max: int = STEPS_MAX, operations_max: int = 1_000) -> None:
        """Expect an empty cluster.

        Args:
            steps_max: bound of the search for a linear order, per key and round; 0: no search.
            operations_max: keys with more operations in a round are not searched.
        """
        self.totals = Findings()
        self._steps_max = steps_max
        self._operations_max = operations_max
        self._keys: dict[Hashable, _Key] = {}
        self._counters: dict[Hashable, Counter] = {}
        self._versions = VersionOrder()
        self._recorded: dict[Hashable, list[Operation]] = {}
        self._quiet: Quiet | None = None
        self._rounds: list[KeyRound] = []

    def record(self, operation: Operation) -> None:
        """Take an operation that has ended, or whose end nobody knows; in any order."""
        assert self._quiet is None, "between `examine` and `settle` nothing may be under way"
        operations = self._recorded.get(operation.key)
        if operations is None:
            self._recorded[operation.key] = [operation]
        else:
            operations.append(operation)

    def examine(self, quiet: Quiet) -> list[Operation]:
        """Look at everything; return the acknowledged writes that are in doubt.

        For each of them `settle` wants to know whether it survived, as the cluster tells. Those
        without a version cannot be asked about; whoever knows may answer for them.

        Raises: ValueError when a value was written twice to one key.
        """
        assert self._quiet is None, "the last round is not settled yet"
        self._quiet = quiet
        keys = dict.fromkeys([*self._keys, *self._recorded, *quiet.values])
        self._rounds = [
            key_round for key in keys if (key_round := self._key_round(key, quiet)) is not None
        ]
        doubted: dict[Operation, None] = {}
        for key_round in self._rounds:
            doubted.update(dict.fromkeys(key_round.doubted()))
        for key, counter in self._counters.items():
            operations = self._recorded.get(key, ())
            acknowledged = [one for one in operations if one.is_increment and one.is_acknowledged]
            if counter.is_doubtful(acknowledged, _number(quiet.values.get(key))):
                doubted.update(dict.fromkeys(acknowledged))
        return list(doubted)

    def visible(self) -> list[Operation]:
        """Return the writes of this round that are there: whoever likes asks about them, too."""
        return [
            shown
            for key_round in self._rounds
            if (shown := key_round.shown) is not None and shown.version and key_round.has_operations
        ]

    def settle(self, answers: Mapping[Operation, bool]) -> Findings:
        """Judge the round; return its findings, which are in `totals` as well.

        `answers`: whether a write survived, by the cluster's word.
        """
        quiet, self._quiet = self._quiet, None
        assert quiet is not None, "first comes the look at everything"
        findings = Findings()
        for operations in self._recorded.values():
            findings.operations += len(operations)
            findings.acknowledged += sum(
                one.is_acknowledged and one.kind is not Kind.READ for one in operations
            )
            applies = [one for one in operations if one.kind is Kind.APPLY]
            findings.applies += len(applies)
            findings.applies_acknowledged += sum(one.is_acknowledged for one in applies)
        self._settle_versions(findings)
        for key_round in self._rounds:
            key_round.judge(answers, quiet.excused, findings)
            self._keys[key_round.key] = _Key(key_round.to_remember(), key_round.still_open())
        for key, counter in self._counters.items():
            self._settle_counter(key, counter, quiet, answers, findings)
        self._recorded = {}
        self._rounds = []
        self.totals.add(findings)
        return findings

    # -- parts ----------------------------------------------------------------------------

    def _key_round(self, key: Hashable, quiet: Quiet) -> KeyRound | None:
        """Return what there is to judge about a key; None if it is as it was, or a counter."""
        operations = self._recorded.get(key, [])
        value = quiet.values.get(key, ABSENT)
        if key in self._counters or any(one.is_increment for one in operations):
            self._counters.setdefault(key, Counter())
            return None
        remembered = self._keys.get(key)
        if remembered is None:
            partition = operations[0].partition if operations else -1
            remembered = _Key(initial(key, partition))
        losses = [loss for loss in quiet.losses if loss.partition == remembered.shown.partition]
        if not operations and not losses and remembered.shown.value == value:
            return None
        return KeyRound(
            [remembered.shown, *remembered.open],
            operations,
            value,
            quiet.begin_s,
            losses,
            quiet.disruptions,
            steps_max=self._steps_max if len(operations) <= self._operations_max else 0,
        )

    def _settle_versions(self, findings: Findings) -> None:
        faults = self._versions.check(
            one for operations in self._recorded.values() for one in operations
        )
        findings.reordered += len(faults.reordered)
        findings.duplicated += len(faults.duplicated)
        findings.two_owners += len(faults.two_owners)
        for word, writes in (
            ("version goes back", faults.reordered),
            ("version given twice", faults.duplicated),
            ("second owner in an epoch", faults.two_owners),
        ):
            for write in writes:
                findings.explain(f"{word}: {write.describe()}")

    def _settle_counter(
        self,
        key: Hashable,
        counter: Counter,
        quiet: Quiet,
        answers: Mapping[Operation, bool],
        findings: Findings,
    ) -> None:
        operations = self._recorded.get(key, [])
        increments = [one for one in operations if one.is_increment]
        if increments:
            counter.partition = increments[0].partition
        elif _number(quiet.values.get(key)) == counter.shown:
            return
        partition = counter.partition
        losses = [loss for loss in quiet.losses if loss.partition == partition]
        reported = sum(answers.get(one) is False for one in increments)
        before = counter.shown
        faults = counter.settle(increments, _number(quiet.values.get(key)), was_lost=bool(losses))
        if losses:
            gone = sum(one.is_acknowledged for one in increments) + before - counter.shown
            findings.lost += max(0, gone)
            findings.lost_reported += max(0, gone)
            findings.lost_with_partition += max(0, gone)
            return
        findings.lost += faults.missing
        findings.lost_reported += min(faults.missing, reported)
        findings.lost_unreported += max(0, faults.missing - reported)
        asynchronous = sum(not one.is_sync for one in increments)
        sync_missing = max(0, faults.missing - asynchronous)
        if partition in quiet.excused:
            findings.sync_lost_excused += sync_missing
        else:
            findings.sync_lost += sync_missing
        findings.applied_twice += faults.applied_twice
        if not reported:
            findings.reordered += len(faults.reordered)
            findings.duplicated += len(faults.duplicated)
        if faults.missing or faults.applied_twice:
            findings.explain(
                f"counter {key!r} shows {counter.shown}: {faults.missing} increments are missing, "
                f"{faults.applied_twice} too many"
            )


def _number(value: Hashable) -> int:
    """Return what a counter shows; one that nobody has incremented shows nothing."""
    return value if isinstance(value, int) else 0
