"""Increments: each once, none missing, sums in order."""

from __future__ import annotations

from grid.verification.counter import Counter
from tests.verification.histories import increment, unknown


def test_each_increment_once_is_fine() -> None:
    counter = Counter()
    faults = counter.settle([increment(1, 0, 1), increment(2, 0, 1)], 2, was_lost=False)
    assert (faults.missing, faults.applied_twice, faults.duplicated) == (0, 0, [])
    assert counter.settle([increment(3, 2, 3)], 3, was_lost=False).missing == 0


def test_missing_increment_and_one_too_many_are_found() -> None:
    assert Counter().settle([increment(1, 0, 1)], 0, was_lost=False).missing == 1
    assert Counter().settle([increment(1, 0, 1)], 3, was_lost=False).applied_twice == 2


def test_increment_of_unknown_outcome_may_come_now_later_or_never_but_once() -> None:
    counter = Counter()
    both = [increment(1, 0, 1), unknown(increment(None, 0, 1))]
    assert counter.settle(both, 1, was_lost=False).applied_twice == 0
    assert counter.settle([], 2, was_lost=False).applied_twice == 0
    assert counter.settle([], 3, was_lost=False).applied_twice == 1


def test_sum_that_comes_back_twice_or_goes_back_is_found() -> None:
    twice = increment(1, 0, 2)
    assert Counter().settle([increment(1, 0, 1), twice], 2, was_lost=False).duplicated == [twice]
    back = increment(1, 5, 6)
    assert Counter().settle([increment(2, 0, 1), back], 2, was_lost=False).reordered == [back]
    old = increment(1, 5, 6)
    assert Counter(shown=1).settle([old], 2, was_lost=False).reordered == [old]


def test_increment_without_a_sum_counts_and_is_compared_with_no_other() -> None:
    both = [increment(None, 0, 1), increment(None, 2, 3), increment(1, 4, 5)]
    faults = Counter().settle(both, 3, was_lost=False)
    assert (faults.missing, faults.duplicated, faults.reordered) == (0, [], [])
    assert Counter().settle(both, 2, was_lost=False).missing == 1


def test_increments_are_doubtful_when_one_is_missing_or_a_sum_comes_back_twice() -> None:
    twice = [increment(1, 0, 1), increment(1, 2, 3)]
    assert Counter().is_doubtful(twice, 1)
    assert Counter().is_doubtful(twice, 2)
    assert not Counter().is_doubtful([increment(1, 0, 1), increment(2, 2, 3)], 2)


def test_counter_of_a_lost_partition_starts_anew() -> None:
    counter = Counter(shown=5)
    faults = counter.settle([increment(6, 0, 1), increment(1, 4, 5)], 1, was_lost=True)
    assert (faults.missing, faults.applied_twice, counter.shown) == (0, 0, 1)
