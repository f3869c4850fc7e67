"""Is there one order of all operations on a key that explains every read? A bounded search.

Source: J. Wing and C. Gong, "Testing and verifying concurrent objects" (1993), with the memory of
visited configurations of G. Lowe, "Testing for linearizability" (2016): a configuration (which
operations have taken effect, what the value is then) is never explored twice.

Theory of operation. Operations are numbered by their begin. Next in the order may be whatever
began before the earliest end among those that are not in it yet. A read that shows the present
value is taken at once: it changes nothing, and later it could only be worse. Writes whose value
nobody read are taken together with the next write, which hides them. A write without outcome need
not take effect; if nobody read its value, it is left out from the beginning.

It trusts nothing but times and values, while ``register.py`` also believes the versions that the
cluster gives: each checks the other. The search is exponential at worst, so it is bounded, and says
when it has given up. Not here: writes that were lost, and said to be. Whoever has such a
history must not ask for a linear order.
"""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Sequence
from enum import Enum

from grid.verification.history import Kind, Operation, Outcome

STEPS_MAX = 20_000
"""Configurations looked at for one key. Some ten operations at a time need far fewer."""


_UNSEEN = object()
"""The value of all writes whose value nobody read."""


class Answer(Enum):
    """What a search has found."""

    LINEAR = "linear"
    NOT_LINEAR = "not linear"
    GAVE_UP = "gave up"


def search(value: Hashable, operations: Sequence[Operation], steps_max: int = STEPS_MAX) -> Answer:
    """Look for an order of `operations` (puts, deletes, reads) from the state `value` on."""
    relevant = _relevant(operations)
    must = 0
    for index, operation in enumerate(relevant):
        if operation.is_acknowledged:
            must |= 1 << index
    begins = [operation.begin_s for operation in relevant]
    ends = [operation.done_s for operation in relevant]
    shown = {operation.value for operation in relevant if _is_read(operation)}
    stack: list[tuple[int, Hashable]] = [(0, value)]
    seen = {stack[0]}
    for _ in range(steps_max):
        if not stack:
            return Answer.NOT_LINEAR
        taken, now = stack.pop()
        if taken & must == must:
            return Answer.LINEAR
        possible = _possible(taken, begins, ends)
        # The earliest begin last, so that it is tried first: it is usually right.
        for configuration in reversed(_following(taken, now, possible, relevant, shown)):
            if configuration not in seen:
                seen.add(configuration)
                stack.append(configuration)
    return Answer.GAVE_UP if stack else Answer.NOT_LINEAR


def _following(
    taken: int,
    now: Hashable,
    possible: Sequence[int],
    operations: Sequence[Operation],
    shown: Container[Hashable],
) -> list[tuple[int, Hashable]]:
    """Return the configurations to go on with, after some of the `possible` operations."""
    unseen, has_matched = 0, False
    choices: list[int] = []
    for index in possible:
        operation = operations[index]
        if _is_read(operation):
            if operation.value == now:
                taken |= 1 << index
                has_matched = True
        elif operation.value in shown:
            choices.append(index)
        else:
            unseen |= 1 << index
    if has_matched:
        return [(taken, now)]
    following: list[tuple[int, Hashable]] = [
        (taken | unseen | 1 << index, operations[index].value) for index in choices
    ]
    if unseen:
        following.append((taken | unseen, _UNSEEN))
    return following


def _relevant(operations: Sequence[Operation]) -> list[Operation]:
    """Return what matters, by begin: not what nobody saw and may never have happened."""
    shown = {operation.value for operation in operations if _is_read(operation)}
    kept = [
        operation
        for operation in operations
        if operation.is_acknowledged
        or (operation.outcome is Outcome.UNKNOWN and operation.value in shown)
    ]
    return sorted(kept, key=lambda operation: (operation.begin_s, operation.done_s))


def _possible(taken: int, begins: Sequence[float], ends: Sequence[float]) -> list[int]:
    """Return what may come next: nothing that is left has ended before it began."""
    found: list[int] = []
    earliest_end_s = math.inf
    # The lowest zero bit: everything below it is in the order already.
    index = (~taken & (taken + 1)).bit_length() - 1
    while index < len(begins) and begins[index] <= earliest_end_s:
        if not taken >> index & 1:
            found.append(index)
            earliest_end_s = min(earliest_end_s, ends[index])
        index += 1
    return [i for i in found if begins[i] <= earliest_end_s]


def _is_read(operation: Operation) -> bool:
    return operation.kind is Kind.READ
