"""What the commands answer to programs."""

from __future__ import annotations

from grid.console.answers import (
    event_answer,
    members_answer,
    partitions_answer,
    status_answer,
    tasks_answer,
)
from grid.wire.control import Event

from .samples import member, partition_map, partitions, status_dict, workers


def test_status_has_everything_but_the_single_partitions() -> None:
    document = status_dict(2)
    answer = status_answer(document)
    assert document.keys() - answer.keys() == {"partition_map"}
    assert members_answer(document) == answer["members"]


def test_each_partition_names_its_holders_and_its_state() -> None:
    document = status_dict(
        3,
        members=[member(1), member(2)],  # The third is in the table and forgotten otherwise.
        partitions=partitions(1, 1, moving=1),
        partition_map=partition_map(3, unprotected=1, lost=1, moving=1),
    )
    answer = partitions_answer(document)
    assert (answer["total"], answer["lost"], len(answer["partitions"])) == (256, 1, 256)
    first, second, forgotten = (
        {"id": member(number)["id"], "name": name}
        for number, name in ((1, "n1"), (2, "n2"), (3, ""))
    )
    assert answer["partitions"][:4] == [
        {"id": 0, "state": "lost", "primary": None, "backup": None, "moving_to": None},
        {"id": 1, "state": "unprotected", "primary": second, "backup": None, "moving_to": None},
        {
            "id": 2,
            "state": "safe",
            "primary": forgotten,
            "backup": first,
            "moving_to": second,
        },
        {"id": 3, "state": "safe", "primary": first, "backup": second, "moving_to": None},
    ]


def test_node_that_has_not_joined_answers_without_partitions() -> None:
    assert partitions_answer(status_dict(1, partition_map=None))["partitions"] == []


def test_tasks_are_summed_and_told_of_each_member_and_worker() -> None:
    answer = tasks_answer(status_dict(2, workers=workers(1.5, None)))
    assert [answer[key] for key in ("queued", "running", "done", "retried")] == [9, 3, 3702, 1]
    assert answer["node"] == member(1)["id"]
    assert answer["members"][1] == {
        "name": "n2",
        "id": member(2)["id"],
        "state": "alive",
        "workers": 4,
        "queued": 6,
        "running": 2,
        "done": 2468,
        "retried": 0,
    }
    assert answer["workers"] == workers(1.5, None)


def test_event_tells_its_time_twice() -> None:
    assert event_answer(Event(7, 86_400.25, "desk-1", "dead", "desk-2 is dead", {"id": "ab"})) == {
        "time_s": 86_400.25,
        "time": "1970-01-02T00:00:00.250+00:00",
        "node": "desk-1",
        "number": 7,
        "kind": "dead",
        "text": "desk-2 is dead",
        "fields": {"id": "ab"},
    }
