"""The demonstration of forming: the same command on each host, and what they see."""

from __future__ import annotations

from grid.demo import formation
from tests.demo.fakes import FakeStage


def test_every_host_is_started_and_all_members_are_counted():
    stage = FakeStage(3)
    outcome = formation.show(stage.real)
    assert stage.done == ["start h1", "start h2", "start h3"]
    assert outcome.passed
    assert outcome.figures["members"] == outcome.figures["hosts"] == 3
    assert "a table of members" in stage.told
