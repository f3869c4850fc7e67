"""The function that chaos has applied counts."""

from __future__ import annotations

import pickle

from grid.chaos.at_data import counted


def test_each_call_is_one_more_and_it_travels_by_its_name() -> None:
    there = pickle.loads(pickle.dumps(counted))
    assert there(there(0, 0.0), 0.001) == 2
