"""Correct histories of a small imagined cluster, and operations by hand for damaged ones."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from random import Random

from grid.verification.checker import Checker, Quiet
from grid.verification.findings import Findings
from grid.verification.history import (
    EPOCH_SHIFT,
    Disruption,
    Kind,
    Loss,
    Operation,
    Outcome,
)

KEYS = ("a", "b", "c")
COUNTERS = ("n",)


def put(value: object, begin_s: float, end_s: float, **others: object) -> Operation:
    """A put to the key "a" of partition 1."""
    return _operation(Kind.PUT, value, begin_s, end_s, others)


def delete(begin_s: float, end_s: float, **others: object) -> Operation:
    return _operation(Kind.DELETE, None, begin_s, end_s, others)


def read(value: object, begin_s: float, end_s: float, **others: object) -> Operation:
    return _operation(Kind.READ, value, begin_s, end_s, others)


def increment(total: object, begin_s: float, end_s: float, **others: object) -> Operation:
    return _operation(Kind.INCREMENT, total, begin_s, end_s, {"key": "n", **others})


def by_apply(operation: Operation) -> Operation:
    """The same increment by a function at the data."""
    return dataclasses.replace(operation, kind=Kind.APPLY)


def unknown(operation: Operation) -> Operation:
    """The same operation if nobody ever said what became of it."""
    return dataclasses.replace(operation, outcome=Outcome.UNKNOWN, end_s=math.inf, version=0)


def refused(operation: Operation) -> Operation:
    return dataclasses.replace(operation, outcome=Outcome.REFUSED, version=0)


def version(epoch: int, sequence: int) -> int:
    return (epoch << EPOCH_SHIFT) + sequence


def _operation(
    kind: Kind, value: object, begin_s: float, end_s: float, others: dict[str, object]
) -> Operation:
    fields: dict[str, object] = {"client": 1, "key": "a", "partition": 1, **others}
    return Operation(kind=kind, value=value, begin_s=begin_s, end_s=end_s, **fields)  # type: ignore[arg-type]


def judged(
    *operations: Operation,
    shows: dict[object, object],
    answers: dict[Operation, bool] | None = None,
    **quiet: object,
) -> Findings:
    """Judge one round that ends at 1,000 s."""
    checker = Checker()
    for operation in operations:
        checker.record(operation)
    checker.examine(Quiet(values=shows, begin_s=1_000.0, **quiet))  # type: ignore[arg-type]
    return checker.settle(answers or {})


@dataclass
class History:
    """What clients saw of a correct cluster, and what it shows and says at the end."""

    operations: list[Operation] = field(default_factory=list)
    values: dict[object, object] = field(default_factory=dict)
    survived: dict[Operation, bool] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    disruptions: list[Disruption] = field(default_factory=list)
    end_s: float = 0.0

    def quiet(self) -> Quiet:
        return Quiet(
            values=self.values,
            begin_s=self.end_s,
            losses=self.losses,
            disruptions=self.disruptions,
        )

    def judge(self, checker: Checker | None = None) -> Findings:
        """Have it judged; the cluster answers only what it is asked."""
        checker = checker or Checker()
        for operation in self.operations:
            checker.record(operation)
        asked = [*checker.examine(self.quiet()), *checker.visible()]
        return checker.settle({one: self.survived[one] for one in asked if one in self.survived})

    def replaced(self, old: Operation, new: Operation) -> History:
        """The same history with one operation told differently."""
        answers = {new if one is old else one: said for one, said in self.survived.items()}
        operations = [new if one is old else one for one in self.operations]
        return dataclasses.replace(self, operations=operations, survived=answers)


class Cluster:
    """One partition with a backup that lags behind; operations take effect one after the other.

    `run` can be called again: each call is a round.
    """

    def __init__(self, random: Random, crashes: float = 0.0) -> None:
        self.random = random
        self.crashes = crashes
        self.now_s = 0.0
        self.epoch, self.sequence, self.values_given = 1, 0, 0
        self.state: dict[object, object] = {}
        self.backup: dict[object, object] = {}
        self.waiting: list[Operation] = []
        self.crashed_s = -math.inf

    def run(self, count: int, *, ends_in_crash: bool = False) -> History:
        history = History()
        self.now_s += 10
        for _ in range(count):
            if self.random.random() < self.crashes:
                self._crash(history)
            self._step(history)
        if ends_in_crash:
            self.now_s += 5  # Every client has its answer by then, also of this write.
            value = self._applied(Kind.PUT, "a")
            last = put(value, self.now_s, self.now_s, version=version(self.epoch, self.sequence))
            self.waiting.append(last)
            history.operations.append(last)
            self._crash(history)
        self.now_s += 10
        history.values = dict(self.state)
        history.end_s = self.now_s
        self.backup = dict(self.state)
        self.waiting.clear()
        return history

    def _step(self, history: History) -> None:
        """One operation takes effect now; others may have begun before, and end later."""
        self.now_s += 1
        kind = self.random.choice((Kind.PUT, Kind.PUT, Kind.READ, Kind.READ, Kind.DELETE))
        key: object = self.random.choice(KEYS)
        if self.random.random() < 0.1:
            kind, key = Kind.INCREMENT, COUNTERS[0]
        begin_s = max(self.crashed_s, self.now_s - self.random.uniform(0, 4))
        end_s = self.now_s + self.random.uniform(0, 4)
        fields: dict[str, object] = {
            "key": key,
            "is_sync": kind is not Kind.PUT or self.random.random() < 0.5,
            "owner": f"node {self.epoch}",
        }
        if kind is Kind.READ:
            history.operations.append(read(self.state.get(key), begin_s, end_s, key=key))
            return
        is_unknown = self.random.random() < 0.1
        is_applied = not is_unknown or self.random.random() < 0.5
        value = self._applied(kind, key) if is_applied else self._value(kind, key)
        if kind is Kind.PUT and is_applied:
            fields["version"] = version(self.epoch, self.sequence)
        write = _operation(kind, value, begin_s, end_s, fields)
        if is_unknown:
            write = unknown(write)
        elif kind is Kind.PUT:
            history.survived[write] = True
        history.operations.append(write)
        if is_applied:
            if fields["is_sync"]:
                self.backup = dict(self.state)
                self.waiting.clear()
            else:
                self.waiting.append(write)

    def _value(self, kind: Kind, key: object) -> object:
        if kind is Kind.DELETE:
            return None
        if kind is Kind.INCREMENT:
            current = self.state.get(key, 0)
            assert isinstance(current, int)
            return current + 1
        self.values_given += 1
        return self.values_given

    def _applied(self, kind: Kind, key: object) -> object:
        value = self._value(kind, key)
        self.sequence += 1
        if value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = value
        return value

    def _crash(self, history: History) -> None:
        """The primary dies, with what its backup has not got; whoever waited hears nothing."""
        self.now_s += 1
        crash_s = self.crashed_s = self.now_s
        self.state = dict(self.backup)
        for lost in self.waiting:
            history.survived[lost] = False
        self.waiting.clear()
        self.epoch += 1
        history.disruptions.append(Disruption(crash_s - 5, crash_s))
        for write in list(history.operations):
            if write.end_s <= crash_s or not write.is_acknowledged:
                continue
            history.operations.remove(write)
            history.survived.pop(write, None)
            if write.kind is not Kind.READ:
                history.operations.append(unknown(write))


def correct_history(seed: int, *, count: int = 60, crashes: float = 0.03) -> History:
    return Cluster(Random(seed), crashes).run(count)
