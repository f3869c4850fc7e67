"""What a status document says of safety."""

from __future__ import annotations

from typing import Any

from grid.chaos.state import state_from


def document(**changes: int) -> dict[str, Any]:
    partitions = {"total": 256, "safe": 256, "unprotected": 0, "lost": 0, "moving": 0}
    members = [
        {"name": "a", "state": "alive", "primaries": 256, "backups": 0},
        {"name": "b", "state": "dead", "primaries": 0, "backups": 3},
        {"name": "c", "state": "dead", "primaries": 0, "backups": 0},
    ]
    return {"partitions": partitions | changes, "members": members}


def test_safe_is_when_everything_has_its_copies_and_stays() -> None:
    assert state_from(document()).is_safe
    assert not state_from(document(safe=255, unprotected=1)).is_safe
    assert not state_from(document(moving=1)).is_safe


def test_motion_is_when_copies_are_made() -> None:
    assert not state_from(document()).is_in_motion
    assert state_from(document(moving=1)).is_in_motion
    assert state_from(document(unprotected=1)).is_in_motion


def test_dead_node_is_replaced_when_the_table_gives_it_nothing_any_more() -> None:
    state = state_from(document())
    assert not state.has_replaced("a")
    assert not state.has_replaced("b")
    assert state.has_replaced("c")
    assert state.has_replaced("forgotten")


def test_description_has_all_counts() -> None:
    described = state_from(document(safe=200, unprotected=50, lost=6, moving=7)).describe()
    assert described == "200 of 256 partitions safe, 50 unprotected, 6 lost, 7 moving, 1 nodes"
