"""The demonstration of a death: when it comes, what is compared, what is counted."""

from __future__ import annotations

import pytest

from grid.demo import failure
from tests.demo.fakes import FakeBooks, FakeStage


@pytest.fixture(autouse=True)
def missing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries are missing afterwards."""
    answers = [0]
    monkeypatch.setattr("grid.demo.ballast.put", lambda stage: stage.done.append("put"))
    monkeypatch.setattr("grid.demo.ballast.missing", lambda stage: answers[0])
    return answers


def test_the_second_host_dies_once_at_a_third_of_the_tasks():
    stage = FakeStage()
    books = FakeBooks(serial_s=[40.0], parallel_s=[10.0, 13.0])
    outcome = failure.show(stage.real, books.real)
    assert outcome.passed
    assert books.done_at_kill == [10]
    assert stage.done[-3:] == ["put", "kill h2", "settle"]
    figures = {name: outcome.figures[name] for name in ("results_equal", "entries_lost")}
    assert figures == {"results_equal": True, "entries_lost": 0}
    assert outcome.figures["extra_time_ratio"] == 1.3
    assert outcome.figures["tasks_retried"] == 1


def test_a_report_that_is_there_already_is_not_made_again():
    books = FakeBooks(serial_s=[], parallel_s=[10.0, 13.0], has_serial_report=True)
    assert failure.show(FakeStage().real, books.real).passed


@pytest.mark.parametrize(
    ("disturbed_s", "is_equal", "retried", "lost"),
    [(15.1, True, 1, 0), (13.0, False, 1, 0), (13.0, True, 0, 0), (13.0, True, 1, 2)],
)
def test_too_slow_wrong_undisturbed_or_lossy_has_not_passed(
    missing: list[int], disturbed_s: float, is_equal: bool, retried: int, lost: int
):
    missing[0] = lost
    books = FakeBooks([40.0], [10.0, disturbed_s], tasks_retried=retried, is_equal=is_equal)
    outcome = failure.show(FakeStage().real, books.real)
    assert [check.is_met for check in outcome.checks].count(False) == 1
    assert outcome.figures["entries_lost"] == lost


def test_fewer_hosts_may_take_longer_by_what_a_death_takes_away():
    assert [failure.ratio_max(hosts) for hosts in (2, 3, 4, 12)] == [2.0, 1.6, 1.5, 1.5]
