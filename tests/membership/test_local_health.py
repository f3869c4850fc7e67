"""How far a node trusts its own judgement."""

from __future__ import annotations

from grid.membership.local_health import SCORE_MAX, LocalHealth


def test_healthy_node_neither_stretches_nor_improves() -> None:
    health = LocalHealth()
    health.improve()
    assert (health.score, health.multiplier) == (0, 1)


def test_signs_of_own_trouble_add_up_and_answers_take_them_back() -> None:
    health = LocalHealth()
    health.worsen()
    health.worsen(3)
    assert (health.score, health.multiplier) == (4, 5)
    health.improve()
    assert health.score == 3


def test_no_sign_counts_nothing() -> None:
    health = LocalHealth()
    health.worsen(0)
    assert health.score == 0


def test_periods_stretch_at_most_eightfold() -> None:
    health = LocalHealth()
    for _ in range(20):
        health.worsen(3)
    assert health.score == SCORE_MAX
    assert health.multiplier == 8
