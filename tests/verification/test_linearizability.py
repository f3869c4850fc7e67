"""The search against histories with and without an order, and against trying every order."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.verification.history import Kind, Operation
from grid.verification.linearizability import Answer, search
from tests.verification.histories import correct_history, delete, put, read, unknown


def test_no_operations_are_in_order() -> None:
    assert search(None, []) is Answer.LINEAR


@pytest.mark.parametrize(
    ("operations", "answer"),
    [
        ([put(1, 0, 1), read(1, 2, 3)], Answer.LINEAR),
        ([put(1, 0, 1), read(None, 2, 3)], Answer.NOT_LINEAR),
        ([put(1, 0, 3), read(None, 1, 2)], Answer.LINEAR),
        ([put(1, 0, 9), read(1, 1, 2), read(None, 3, 4)], Answer.NOT_LINEAR),
        ([put(1, 0, 1), delete(2, 3), read(1, 4, 5)], Answer.NOT_LINEAR),
        ([put(1, 0, 9), put(2, 0, 9), read(1, 2, 3), read(2, 4, 5)], Answer.LINEAR),
        (
            [put(1, 0, 9), put(2, 0, 9), read(1, 2, 3), read(2, 4, 5), read(1, 6, 7)],
            Answer.NOT_LINEAR,
        ),
        ([unknown(put(1, 0, 1)), read(None, 2, 3), read(1, 8, 9)], Answer.LINEAR),
        ([unknown(put(1, 0, 1)), read(1, 2, 3), read(None, 8, 9)], Answer.NOT_LINEAR),
        ([put(1, 0, 1), unknown(delete(2, 3)), read(None, 4, 5)], Answer.LINEAR),
    ],
)
def test_known_histories(operations: list[Operation], answer: Answer) -> None:
    assert search(None, operations) is answer


def test_state_before_counts() -> None:
    assert search(7, [read(7, 0, 1)]) is Answer.LINEAR
    assert search(None, [read(7, 0, 1)]) is Answer.NOT_LINEAR


def test_search_gives_up_at_its_bound() -> None:
    crowd = [put(n, 0, 100) for n in range(30)]
    late = [read(n, 200, 201) for n in range(30)]
    assert search(None, [*crowd, *late], steps_max=500) is Answer.GAVE_UP
    assert search(None, [*crowd, late[0]], steps_max=500) is Answer.LINEAR
    assert search(None, [*crowd, *late[:2]], steps_max=500) is Answer.NOT_LINEAR


def test_long_history_of_few_clients_is_searched_to_its_end() -> None:
    history: list[Operation] = []
    for n in range(2_000):
        history += [put(n, 2 * n, 2 * n + 3), read(n, 2 * n + 1, 2 * n + 3.5)]
    assert search(None, history) is Answer.LINEAR
    assert search(None, [*history, read(3, 5_000, 5_001)]) is Answer.NOT_LINEAR


operations = st.lists(
    st.builds(
        lambda kind, value, begin, length, is_known: (kind, value, begin, length, is_known),
        st.sampled_from(Kind),
        st.sampled_from([None, 0, 1]),
        st.integers(0, 8),
        st.integers(1, 5),
        st.booleans(),
    ),
    max_size=5,
)


def made(drawn: list[tuple[Kind, object, int, int, bool]]) -> list[Operation]:
    """Operations of which each put stores its own value, and reads look for some of these."""
    found: list[Operation] = []
    for index, (kind, value, begin, length, is_known) in enumerate(drawn):
        if kind is Kind.READ:
            found.append(read(value, begin, begin + length))
            continue
        is_delete = kind is Kind.DELETE
        write = delete(begin, begin + length) if is_delete else put(index, begin, begin + length)
        found.append(write if is_known else unknown(write))
    return found


def has_order(history: list[Operation]) -> bool:
    """Try every order of every subset that leaves out only what nobody acknowledged."""
    sure = [one for one in history if one.is_acknowledged]
    maybe = [one for one in history if not one.is_acknowledged]
    for bits in range(1 << len(maybe)):
        taken = sure + [one for index, one in enumerate(maybe) if bits >> index & 1]
        if any(is_order(order) for order in permutations(taken)):
            return True
    return False


def is_order(order: tuple[Operation, ...]) -> bool:
    value: object = None
    for index, one in enumerate(order):
        if any(later.done_s < one.begin_s for later in order[index + 1 :]):
            return False
        if one.kind is Kind.READ and one.value != value:
            return False
        if one.kind is not Kind.READ:
            value = one.value
    return True


@given(operations)
def test_search_agrees_with_trying_every_order(
    drawn: list[tuple[Kind, object, int, int, bool]],
) -> None:
    history = made(drawn)
    expected = Answer.LINEAR if has_order(history) else Answer.NOT_LINEAR
    assert search(None, history) is expected


@given(st.integers(0, 2**32))
def test_correct_history_has_an_order_for_each_key(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    for key in ("a", "b", "c"):
        found = search(None, [one for one in history.operations if one.key == key])
        assert found is Answer.LINEAR
