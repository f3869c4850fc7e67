"""When an idle node asks others for tasks."""

from __future__ import annotations

from random import Random

from grid.executor.stealing import ASKED_AT_ONCE, PATIENCE_MAX_S, PATIENCE_MIN_S, Thief
from grid.types import NodeId

from .samples import node

OTHERS = [node(number) for number in range(5)]


def others() -> list[NodeId]:
    return OTHERS


def idle_thief() -> Thief:
    """Return one whose first worker became idle at time 0."""
    thief = Thief(Random(1))
    thief.look(1, 0.0)
    return thief


def test_busy_node_asks_nobody() -> None:
    thief = Thief(Random(1))
    thief.look(0, 0.0)
    assert thief.due_s() is None
    assert thief.ask(100.0, others) == []


def test_idle_node_asks_two_others_after_a_moment() -> None:
    thief = idle_thief()
    assert thief.ask(PATIENCE_MIN_S / 2, others) == []
    assert thief.due_s() == PATIENCE_MIN_S
    asked = thief.ask(PATIENCE_MIN_S, others)
    assert len(set(asked)) == ASKED_AT_ONCE
    assert set(asked) <= set(OTHERS)


def test_whoever_is_alone_asks_nobody() -> None:
    assert idle_thief().ask(PATIENCE_MIN_S, list) == []


def test_node_that_is_given_nothing_asks_ever_less_often_but_does_not_stop() -> None:
    thief = idle_thief()
    now_s = 0.0
    gaps_s = []
    for _ in range(20):
        due_s = thief.due_s()
        assert due_s is not None
        gaps_s.append(round(due_s - now_s, 9))
        now_s = due_s
        assert thief.ask(now_s, others)
    assert gaps_s == sorted(gaps_s)
    assert gaps_s[-1] == PATIENCE_MAX_S


def test_worker_that_becomes_idle_makes_it_ask_soon_again() -> None:
    thief = idle_thief()
    now_s = 0.0
    while now_s < 10:
        due_s = thief.due_s()
        assert due_s is not None
        now_s = due_s
        thief.ask(now_s, others)
    thief.look(1, now_s)
    assert thief.due_s() == now_s + PATIENCE_MAX_S
    thief.look(0, now_s)
    assert thief.due_s() is None
    thief.look(1, now_s)
    assert thief.due_s() == now_s + PATIENCE_MIN_S
