"""What waits, by priority and order of arrival."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.executor.lanes import Lanes


def filled(*items: tuple[str, int]) -> Lanes[str, str]:
    lanes: Lanes[str, str] = Lanes()
    for name, priority in items:
        lanes.push(name, name, priority)
    return lanes


def drained(lanes: Lanes[str, str]) -> str:
    return "".join(lanes.pop() for _ in range(len(lanes)))


def test_higher_priority_comes_first_and_equals_in_order() -> None:
    lanes = filled(("a", 0), ("b", 2), ("c", 0), ("d", 2), ("e", -1))
    assert "".join(lanes) == "bdace"
    assert lanes.first == "b"
    assert drained(lanes) == "bdace"


def test_what_is_put_in_front_comes_before_its_equals_only() -> None:
    lanes = filled(("a", 0), ("b", 1))
    lanes.push("c", "c", 0, at_front=True)
    assert drained(lanes) == "bca"


def test_anything_can_be_taken_out() -> None:
    lanes = filled(("a", 0), ("b", 1), ("c", 0))
    assert lanes.remove("b") == "b"
    assert lanes.remove("b") is None
    assert drained(lanes) == "ac"


def test_nothing_comes_out_of_none() -> None:
    lanes: Lanes[str, str] = Lanes()
    with pytest.raises(IndexError):
        lanes.pop()
    with pytest.raises(IndexError):
        _ = lanes.first


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans())))
def test_it_is_a_stable_sort_by_priority(steps: list[tuple[int, int, bool]]) -> None:
    lanes: Lanes[int, int] = Lanes()
    model: list[tuple[int, int]] = []
    for number, (priority, victim, is_removal) in enumerate(steps):
        if is_removal:
            expected = next((key for key, _ in model if key == victim), None)
            assert lanes.remove(victim) == expected
            model = [each for each in model if each[0] != victim]
        else:
            lanes.push(number, number, priority)
            model.append((number, priority))
    ordered = [key for key, _ in sorted(model, key=lambda each: -each[1])]
    assert list(lanes) == ordered
    assert [lanes.pop() for _ in range(len(lanes))] == ordered
