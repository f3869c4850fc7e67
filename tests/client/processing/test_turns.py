"""The numbers of applies: never more than a storage process knows, and nobody is forgotten."""

from __future__ import annotations

from concurrent.futures import Future
from random import Random

from grid.client.processing.turns import AHEAD_MAX, Turns
from grid.storage.results import RESULTS_KEPT, ClientResults


def test_numbers_of_each_partition_follow_each_other() -> None:
    turns = Turns()
    assert [turns.take(1).result(0) for _ in range(3)] == [1, 2, 3]
    assert turns.take(2).result(0) == 1


def test_who_is_too_far_ahead_of_the_oldest_waits_for_it() -> None:
    turns = Turns()
    numbers = [turns.take(1).result(0) for _ in range(AHEAD_MAX)]
    first, second = turns.take(1), turns.take(1)
    for number in numbers[1:]:
        turns.give_back(1, number)
    assert not first.done()
    turns.give_back(1, numbers[0])
    assert (first.result(0), second.result(0)) == (AHEAD_MAX + 1, AHEAD_MAX + 2)


def test_nobody_overtakes_who_waits() -> None:
    turns = Turns()
    for _ in range(AHEAD_MAX):
        turns.take(1)
    waiting = [turns.take(1) for _ in range(3)]
    turns.give_back(1, 1)
    assert [turn.done() for turn in waiting] == [True, False, False]
    assert not turns.take(1).done()


def test_who_has_given_up_gets_no_number_or_returns_it() -> None:
    turns = Turns()
    given = turns.take(1)
    for _ in range(AHEAD_MAX - 1):
        turns.take(1)
    given_up, waiting = turns.take(1), turns.take(1)
    turns.give_up(1, given_up)
    assert given_up.cancelled()
    turns.give_up(1, given)
    assert waiting.result(0) == AHEAD_MAX + 1


def test_a_number_under_way_is_always_known() -> None:
    """Whatever the order in which applies are carried out, repeated and answered."""
    random = Random(7)
    turns, results = Turns(), ClientResults()
    waiting: list[Future[int]] = []
    under_way: dict[int, bool] = {}
    for _ in range(20_000):
        if len(waiting) < 3:
            waiting.append(turns.take(1))
        for turn in [turn for turn in waiting if turn.done()]:
            waiting.remove(turn)
            under_way[turn.result(0)] = False
        # Mostly the younger ones: some are very slow.
        number = sorted(under_way)[-1 - int(random.paretovariate(1)) % len(under_way)]
        if under_way[number]:
            assert number in results.results
            del under_way[number]
            turns.give_back(1, number)
        else:
            assert number > results.floor
            results.add(number, None)
            under_way[number] = True
    assert results.floor > 1000
    assert len(results.results) == RESULTS_KEPT
