"""The demonstration of coming back: after a death that was shown, or after one of its own."""

from __future__ import annotations

import pytest

from grid.demo import rejoin
from tests.demo.fakes import FakeStage


@pytest.fixture(autouse=True)
def ballast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost."""
    monkeypatch.setattr("grid.demo.ballast.put", lambda stage: stage.done.append("put"))
    monkeypatch.setattr("grid.demo.ballast.missing", lambda stage: 0)


def test_alone_it_kills_the_host_that_then_comes_back():
    stage = FakeStage()
    outcome = rejoin.show(stage.real)
    assert stage.done[-4:] == ["put", "kill h2", "settle", "start h2"]
    assert outcome.figures["partitions_owned"] == 64
    assert {"seconds_to_member", "seconds_to_safe"} <= outcome.figures.keys()
    assert outcome.passed


def test_after_a_death_it_only_starts_the_host_again():
    stage = FakeStage()
    stage.form()
    stage.kill(stage.victim)
    stage.done.clear()
    assert rejoin.show(stage.real).passed
    assert stage.done == ["settle", "start h2"]
