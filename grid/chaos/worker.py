"""One client thread: it reads and writes, and writes down what it did and saw.

Half of the acknowledged writes are synchronous (``ack="backup"``): singles, several at once,
deletes and increments, some of these by `apply`; the other half are asynchronous singles, which
have tokens to ask by. What a kill may lose without a token to ask about it would prove nothing, so
there is none of it.

Runs in: a thread of its own; it shares the gate, the keys and the availability with the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping
from random import Random
from typing import Any, NamedTuple

from grid.chaos.at_data import counted
from grid.chaos.availability import Availability
from grid.chaos.gate import Gate
from grid.chaos.keyspace import KeySpace
from grid.chaos.target import Entries
from grid.client.entries.entry_operations import Ack
from grid.client.entries.tokens import unpack_token
from grid.errors import GridError, OperationError
from grid.verification.history import ABSENT, Kind, Operation, Outcome

MANY = 6
"""Keys of an operation on several."""

MANY_APPLIED = 12
"""The same of functions: a kill in the middle finds some of them applied and none answered."""

APPLY_PAUSE_S_MAX = 0.002
"""How long a function keeps its worker. A kill meets few applies that take no time."""

BEHIND_MAX_S = 1.0
"""After a longer wait a worker does not make up for what it has missed."""


class Shares(NamedTuple):
    """Upper limits of the random numbers for which an operation is chosen."""

    read_many: float = 0.06
    read: float = 0.4
    put_async: float = 0.74
    put_sync: float = 0.9
    put_many: float = 0.915
    delete: float = 0.9575
    increment: float = 0.987
    apply: float = 0.997


SHARES = Shares()


class Worker:
    """Works until the gate says that it is over; while it stands there, take its `operations`."""

    def __init__(
        self,
        number: int,
        entries: Entries,
        keys: KeySpace,
        gate: Gate,
        availability: Availability,
        *,
        pause_s: float,
        seed: int,
    ) -> None:
        """Prepare; `pause_s` is the time from the begin of one operation to that of the next."""
        self.number = number
        self.operations: list[Operation] = []
        self.acknowledged = 0
        self.error: Exception | None = None
        self._entries = entries
        self._keys = keys
        self._gate = gate
        self._availability = availability
        self._pause_s = pause_s
        self._random = Random(f"{seed} {number}")
        self._values = number << 32

    def run(self) -> None:
        """Work, as the body of a thread; what nobody expects ends it and is kept in `error`."""
        try:
            due_s = time.monotonic()
            while self._gate.pass_through():
                self.step()
                due_s = max(due_s + self._pause_s, time.monotonic() - BEHIND_MAX_S)
                wait_s = due_s - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
        except Exception as error:
            self.error = error
            self._gate.leave()

    def step(self) -> None:
        """Do one operation."""
        number = self._random.random()
        if number < SHARES.read_many:
            self._read_many()
        elif number < SHARES.read:
            self._read(self._keys.to_read(self._random))
        elif number < SHARES.put_async:
            self._put(is_sync=False)
        elif number < SHARES.put_sync:
            self._put(is_sync=True)
        elif number < SHARES.put_many:
            self._put_many()
        elif number < SHARES.delete:
            self._delete(self._keys.to_write(self._random))
        elif number < SHARES.increment:
            self._increment(self._random.choice(self._keys.counters))
        elif number < SHARES.apply:
            self._apply()
        else:
            self._apply_many()

    # -- operations -----------------------------------------------------------------------

    def _read(self, key: str) -> None:
        partition = self._keys.partitions[key]
        begin_s = time.monotonic()
        self._availability.begin(partition, begin_s)
        try:
            value = self._entries.get(key)
        except GridError:
            self._availability.fail(partition)
            return
        end_s = time.monotonic()
        self._availability.succeed(partition, end_s)
        self._note(Kind.READ, key, value, begin_s, end_s)

    def _read_many(self) -> None:
        keys = sorted({self._keys.to_read(self._random) for _ in range(MANY)})
        begin_s = time.monotonic()
        try:
            found = self._entries.get_all(keys)
        except GridError:
            return
        end_s = time.monotonic()
        for key in keys:
            self._note(Kind.READ, key, found.get(key), begin_s, end_s)

    def _put(self, *, is_sync: bool) -> None:
        key, value = self._keys.to_write(self._random), self._next_value()
        ack: Ack = "backup" if is_sync else None
        self._write(
            Kind.PUT, key, value, lambda: self._entries.put(key, value, ack=ack), is_sync=is_sync
        )

    def _put_many(self) -> None:
        """Several at once are one message for each storage process, each of which may fail."""
        keys = sorted({self._keys.to_write(self._random) for _ in range(MANY)})
        values = {key: self._next_value() for key in keys}
        self._write_many(Kind.PUT, values, lambda: self._entries.put_all(values, ack="backup"))

    def _delete(self, key: str) -> None:
        self._write(
            Kind.DELETE, key, ABSENT, lambda: self._entries.delete(key, ack="backup"), is_sync=True
        )

    def _increment(self, key: str) -> None:
        self._write(
            Kind.INCREMENT,
            key,
            ABSENT,
            lambda: self._entries.increment(key, ack="backup"),
            is_sync=True,
        )

    def _apply(self) -> None:
        """It needs a worker as well, so it tells nothing of a partition's availability."""
        key, pause_s = self._random.choice(self._keys.counters), self._apply_pause_s()
        self._write_many(
            Kind.APPLY,
            {key: ABSENT},
            lambda: {key: self._entries.apply(key, counted, pause_s, default=0, ack="backup")},
        )

    def _apply_many(self) -> None:
        keys = sorted({self._random.choice(self._keys.counters) for _ in range(MANY_APPLIED)})
        pause_s = self._apply_pause_s()
        self._write_many(
            Kind.APPLY,
            dict.fromkeys(keys, ABSENT),
            lambda: self._entries.apply_many(keys, counted, pause_s, default=0, ack="backup"),
        )

    # -- parts ----------------------------------------------------------------------------

    def _apply_pause_s(self) -> float:
        return self._random.uniform(0, APPLY_PAUSE_S_MAX)

    def _next_value(self) -> int:
        self._values += 1
        return self._values

    def _write(
        self, kind: Kind, key: str, value: Hashable, write: Callable[[], Any], *, is_sync: bool
    ) -> None:
        """Carry out one write on one key and note what came of it."""
        partition = self._keys.partitions[key]
        begin_s = time.monotonic()
        self._availability.begin(partition, begin_s)
        try:
            reply = write()
        except GridError as error:
            self._availability.fail(partition)
            outcome, end_s = _outcome_of(error), time.monotonic()
            self._note(kind, key, value, begin_s, end_s, outcome, is_sync=is_sync)
            return
        end_s = time.monotonic()
        self._availability.succeed(partition, end_s)
        version = 0
        if kind is Kind.PUT:
            version, _ = unpack_token(reply)
        elif kind is Kind.INCREMENT:
            value = reply
        self._note(kind, key, value, begin_s, end_s, is_sync=is_sync, version=version)

    def _write_many(
        self,
        kind: Kind,
        values: Mapping[str, Hashable],
        write: Callable[[], Mapping[str, Hashable] | None],
    ) -> None:
        """Carry out one synchronous write on several keys; it may return the values."""
        begin_s = time.monotonic()
        outcome = Outcome.ACKNOWLEDGED
        try:
            values = write() or values
        except GridError as error:
            is_one_apply = kind is Kind.APPLY and len(values) == 1
            outcome = _outcome_of(error, is_promise=is_one_apply)
        end_s = time.monotonic()
        for key, value in values.items():
            self._note(kind, key, value, begin_s, end_s, outcome, is_sync=True)

    def _note(
        self,
        kind: Kind,
        key: str,
        value: Hashable,
        begin_s: float,
        end_s: float,
        outcome: Outcome = Outcome.ACKNOWLEDGED,
        *,
        is_sync: bool = False,
        version: int = 0,
    ) -> None:
        is_acknowledged = outcome is Outcome.ACKNOWLEDGED
        self.acknowledged += is_acknowledged and kind is not Kind.READ
        self.operations.append(
            Operation(
                client=self.number,
                key=key,
                partition=self._keys.partitions[key],
                kind=kind,
                value=value,
                begin_s=begin_s,
                end_s=end_s if is_acknowledged else math.inf,
                outcome=outcome,
                is_sync=is_sync,
                version=version,
            )
        )


def _outcome_of(error: GridError, *, is_promise: bool = False) -> Outcome:
    """Return what an error leaves open.

    "applied" is said of calls that did a part; of an apply to one entry it is a promise.
    """
    if isinstance(error, OperationError) and error.outcome == "not_applied":
        return Outcome.REFUSED
    if isinstance(error, OperationError) and error.outcome == "applied" and is_promise:
        return Outcome.ACKNOWLEDGED
    return Outcome.UNKNOWN
