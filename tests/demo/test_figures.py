"""Figures, checks and the document: what passed says, and what did not."""

from __future__ import annotations

from grid.demo.figures import Check, Outcome, at_least, at_most, document_of, exactly

GOOD = exactly("entries lost", 0, 0)
BAD = at_most("seconds", 3.21, 3.0, " s")


def test_a_check_is_one_line_with_figure_and_target():
    assert str(GOOD) == "ok     entries lost: 0 (target: 0)"
    assert str(BAD) == "FAILED seconds: 3.21 s (target: at most 3 s)"
    assert str(exactly("equal", True, True)) == "ok     equal: yes (target: yes)"


def test_a_figure_on_its_limit_is_good():
    assert at_most("", 3.0, 3.0, "").is_met
    assert at_least("", 3.8, 3.8).is_met
    assert not at_least("", 3.79, 3.8).is_met


def test_a_count_has_no_decimals():
    assert at_least("tasks", 3, 1).figure == "3"


def test_one_demonstration_has_its_figures_at_the_top():
    outcome = Outcome("rejoin", {"seconds_to_member": 1.0}, (GOOD,))
    assert document_of("rejoin", [outcome]) == {
        "demo": "rejoin",
        "passed": True,
        "figures": {"seconds_to_member": 1.0},
    }


def test_of_all_demonstrations_one_missed_target_is_enough():
    outcomes = [Outcome("formation", {"a": 1}, (GOOD,)), Outcome("rejoin", {"b": 2}, (GOOD, BAD))]
    assert document_of("all", outcomes) == {
        "demo": "all",
        "passed": False,
        "figures": {"formation": {"a": 1}, "rejoin": {"b": 2}},
    }


def test_what_did_not_come_to_its_end_has_not_passed_and_says_why():
    document = document_of("speedup", [Outcome("speedup", {}, (), "h3 did not start")])
    assert document["passed"] is False
    assert document["failure"] == "speedup: h3 did not start"


def test_a_demonstration_without_checks_proves_nothing_wrong():
    assert Outcome("formation", {}, ()).passed
    assert not Outcome("formation", {}, (Check("", "", "", False),)).passed
