"""The figures of a trial, on small crowds; simulated time is exact, so it may be asserted."""

from __future__ import annotations

from functools import cache

import pytest

from grid.membership.membership import Membership
from grid.simulation.trial import DOWN_S, Outcome, Plan, Trial, summary

from .crowds import WatchedCrowd

SIZES = (3, 4, 6, 10)


@cache
def with_deaths(nodes: int, loss: float) -> Outcome:
    """Return a trial of ten minutes: 19 or 20 deaths, no stalls."""
    return Trial(Plan(nodes=nodes, minutes=10, loss=loss, stalls_per_node_hour=0)).run()


# -- deaths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("nodes", SIZES)
def test_dead_machine_is_detected_in_5_to_10_s_and_known_to_all_in_10(
    nodes: int, loss: float
) -> None:
    outcome = with_deaths(nodes, loss)
    assert len(outcome.all_know_s) >= 14
    # A probe that was lost before the death may be a little ahead.
    assert min(outcome.first_detection_s) > 4.5
    assert 5.0 < outcome.document()["first_detection_s"]["p50"] < 6.5
    assert max(outcome.first_detection_s) < 10.0
    assert max(outcome.all_know_s) < 10.0
    assert outcome.undetected == 0
    assert outcome.false_deaths == []


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_two_nodes_wait_the_whole_suspicion_and_know_within_13_s(loss: float) -> None:
    outcome = with_deaths(2, loss)
    assert len(outcome.all_know_s) >= 14
    assert outcome.first_detection_s == outcome.all_know_s
    assert min(outcome.all_know_s) > 10.0
    assert max(outcome.all_know_s) < 13.0
    assert outcome.false_deaths == []


def test_survivor_of_two_that_stalls_gives_the_dead_its_whole_time_anew() -> None:
    """What the figure of two nodes leaves out: 2 s of probing, 10 s, and at most as much again."""
    plan = Plan(nodes=2, minutes=60, stalls_per_node_hour=360, seed=3)
    outcome = Trial(plan).run()
    assert outcome.undetected + len(outcome.all_know_s) > 60
    assert max(outcome.all_know_s) > 13.0
    assert outcome.false_deaths == []


def test_deaths_are_told_by_the_shipped_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever breaks the product's stall rule or timers breaks the trial."""
    monkeypatch.setattr(Membership, "handle_timer", lambda *_, **__: [])
    outcome = Trial(Plan(nodes=3, minutes=2)).run()
    assert outcome.all_know_s == []
    assert outcome.undetected > 0


# -- what is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [2, 3, 5, 8, 16])
def test_quiet_members_send_two_datagrams_each_period(nodes: int) -> None:
    plan = Plan(nodes=nodes, minutes=6, stalls_per_node_hour=0, has_crashes=False)
    outcome = Trial(plan).run()
    assert outcome.datagrams_per_member_period == pytest.approx(2.0, abs=0.3)
    assert outcome.max_datagram_bytes <= 1200


@pytest.mark.parametrize("nodes", [2, 3, 5, 8, 16])
def test_members_send_at_most_three_and_a_half_at_5_percent_loss(nodes: int) -> None:
    plan = Plan(nodes=nodes, minutes=6, loss=0.05, stalls_per_node_hour=6, has_crashes=False)
    outcome = Trial(plan).run()
    assert 1.7 < outcome.datagrams_per_member_period <= 3.5


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("nodes", SIZES)
def test_deaths_make_no_datagram_too_long_and_no_storm(nodes: int, loss: float) -> None:
    outcome = with_deaths(nodes, loss)
    assert outcome.max_datagram_bytes <= 1200
    assert outcome.datagrams_per_member_period <= 3.5


def test_everybody_new_at_once_fills_datagrams_up_to_their_bound() -> None:
    crowd = WatchedCrowd(1)
    for _ in range(40):
        crowd.add()
    crowd.run_for(8.0)
    assert crowd.has_one_view()
    assert 900 < crowd.datagram_bytes_max <= 1200


# -- false deaths -----------------------------------------------------------------------------


def test_long_stalls_provoke_false_deaths_which_are_counted_once_and_explained() -> None:
    plan = Plan(nodes=5, minutes=20, stall_s_max=30.0, stalls_per_node_hour=30, has_crashes=False)
    outcome = Trial(plan).run()
    assert outcome.document()["false_deaths"] == len(outcome.false_deaths) > 3
    said = outcome.false_deaths[0]
    assert " s: n" in said
    assert "for dead" in said
    victims = [text.split("holds ")[1] for text in outcome.false_deaths]
    assert len(set(victims)) == len(victims)


def test_dead_machine_is_no_false_death_however_late_somebody_hears_of_it() -> None:
    plan = Plan(nodes=4, minutes=15, loss=0.2, stalls_per_node_hour=0, seed=2)
    outcome = Trial(plan).run()
    assert len(outcome.all_know_s) + outcome.undetected >= 20


# -- the seed, and the document ---------------------------------------------------------------


def test_plan_decides_every_figure_but_the_wall_clock() -> None:
    plan = Plan(nodes=6, minutes=3, loss=0.05, seed=9)
    documents = [Trial(plan).run().document() for _ in range(2)]
    for document in documents:
        del document["wall_s"]
    assert documents[0] == documents[1]
    other = Trial(Plan(nodes=6, minutes=3, loss=0.05, seed=10)).run()
    assert other.trace_hash != documents[0]["trace_hash"]


def test_node_hours_leave_out_the_time_machines_were_down() -> None:
    without = Trial(Plan(nodes=4, minutes=3, has_crashes=False)).run()
    assert without.node_hours == pytest.approx(4 * 3 / 60)
    outcome = Trial(Plan(nodes=4, minutes=3)).run()
    deaths = outcome.document()["crashes"]
    assert deaths == 4
    assert outcome.node_hours == pytest.approx((4 * 180 - deaths * DOWN_S) / 3600)


@pytest.mark.parametrize("nodes", [1, 2])
def test_trial_without_deaths_has_no_times(nodes: int) -> None:
    plan = Plan(nodes=nodes, minutes=1, has_crashes=nodes == 1)
    document = Trial(plan).run().document()
    assert document["first_detection_s"] == document["all_know_s"] == {"p50": None, "max": None}
    assert document["crashes"] == document["undetected"] == 0


def test_progress_is_told_every_simulated_second() -> None:
    told: list[float] = []
    Trial(Plan(nodes=2, minutes=0.175)).run(told.append)
    assert told == [*map(float, range(1, 11)), 10.5]


def test_stalls_come_about_as_often_as_planned() -> None:
    plan = Plan(nodes=4, minutes=20, stalls_per_node_hour=240, has_crashes=False)
    outcome = Trial(plan).run()
    assert outcome.stalls == pytest.approx(320, rel=0.2)
    assert outcome.false_deaths == []


def test_summary_gives_median_and_maximum() -> None:
    assert summary([3.0, 1.0004, 2.0]) == {"p50": 2.0, "max": 3.0}
    assert summary([]) == {"p50": None, "max": None}
