"""The volume of each run of the tests: 40 node-hours at 5 % loss with stalls of up to 2 s.

Split by size, so that the cores of a machine share it. ``grid sim --hours 10000`` is the same
with random seeds; what it finds becomes a test in ``test_storms.py``.
"""

from __future__ import annotations

import pytest

from grid.simulation.trial import Plan, Trial

NODE_HOURS = 4.0


@pytest.mark.parametrize("nodes", [96, 48, 32, 24, 16, 12, 8, 5, 3, 2])
def test_nobody_is_wrongly_held_for_dead_in_four_node_hours(nodes: int) -> None:
    # Two nodes are one for 20 s of each 30 s.
    minutes = 60 * NODE_HOURS / (nodes - 2 / 3)
    outcome = Trial(Plan(nodes=nodes, minutes=minutes, loss=0.05, seed=nodes)).run()
    assert outcome.node_hours == pytest.approx(NODE_HOURS, rel=0.05)
    assert outcome.false_deaths == []
    assert outcome.stalls > 10
    assert outcome.max_datagram_bytes <= 1200
    assert outcome.datagrams_per_member_period <= 3.5
    if nodes > 2:
        # Of two, a survivor that stalls gives the dead its whole time anew, again and again.
        assert outcome.undetected == 0
        assert max(outcome.all_know_s) <= 10.5
