"""When a cluster counts as safe, and what is said when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from grid.console.safety import POLL_S, judge, wait_until_safe
from grid.errors import GridError

from .samples import member, partitions, status


class Cluster:
    """A cluster that goes through `stages`, one for each look, with a clock of its own."""

    def __init__(self, *stages: dict[str, Any]) -> None:
        self._stages = list(stages)
        self.now_s = 100.0
        self.shown: list[str] = []

    def wait(self, timeout_s: float = 60.0) -> str:
        return wait_until_safe(
            self._look, timeout_s, self.shown.append, lambda: self.now_s, self._pause
        )

    def _look(self) -> Any:
        stage = self._stages.pop(0) if len(self._stages) > 1 else self._stages[0]
        return status(2, **stage)

    def _pause(self, duration_s: float) -> None:
        self.now_s += duration_s


def test_cluster_with_every_backup_is_safe() -> None:
    verdict = judge(status(4))
    assert verdict.is_safe
    assert verdict.text == "all 256 partitions have a backup"


def test_without_backups_it_is_safe_when_everything_has_an_owner() -> None:
    verdict = judge(status(1, partitions=partitions(backup_count=0)))
    assert verdict.is_safe
    assert verdict.text == "all 256 partitions are served (without backups: backup_count is 0)"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"partitions": partitions(44)}, "212 of 256 partitions have a backup"),
        (
            {"partitions": partitions(256), "members": [member(1), member(2, state="dead")]},
            "there is only one node; backups need a second one",
        ),
        ({"partitions": partitions(moving=1)}, "1 of 256 partitions is moving to another node"),
        ({"partitions": partitions(moving=9)}, "9 of 256 partitions are moving to another node"),
        (
            {"members": [member(1), member(2, primaries=0, backups=0)]},
            "n2 is waiting for partitions",
        ),
        (
            {"members": [member(n, primaries=0, backups=0) for n in (1, 2)]},
            "2 nodes are waiting for partitions",
        ),
        ({"members": [member(1), member(2, state="suspect")]}, "n2 is suspected to be dead"),
        (
            {"partitions": partitions() | {"safe": 0}},
            "the node that answers has not joined a cluster yet",
        ),
    ],
)
def test_what_is_missing_is_said_and_may_still_come(changes: dict[str, Any], said: str) -> None:
    verdict = judge(status(2, **changes))
    assert not verdict.is_safe
    assert not verdict.is_final
    assert verdict.text == said


def test_gone_members_need_nothing() -> None:
    gone = [member(3, state="left", primaries=0, backups=0), member(4, state="dead", primaries=0)]
    assert judge(status(2, members=[member(1), member(2), *gone])).is_safe


def test_more_members_than_partitions_cannot_all_hold_something() -> None:
    crowd = [member(n, primaries=int(n <= 256), backups=0) for n in range(1, 300)]
    assert judge(status(2, members=crowd)).is_safe


def test_waiting_ends_when_it_is_safe_and_shows_how_far_it_is() -> None:
    cluster = Cluster(
        {"partitions": partitions(256)}, {"partitions": partitions(40, moving=3)},
        {"partitions": partitions(moving=3)}, {},
    )  # fmt: skip
    assert cluster.wait() == "all 256 partitions have a backup"
    assert cluster.shown == [
        "0 of 256 partitions have a backup",
        "216 of 256 partitions have a backup",
        "3 of 256 partitions are moving to another node",
    ]
    assert cluster.now_s == 100.0 + 3 * POLL_S


def test_loss_is_said_at_once_with_the_way_out() -> None:
    cluster = Cluster({"partitions": partitions(3, 6)})
    with pytest.raises(GridError) as caught:
        cluster.wait()
    assert str(caught.value) == (
        "6 of 256 partitions are lost: no living node has a copy; "
        "'grid accept-loss' serves them again, empty"
    )
    assert cluster.now_s == 100.0


def test_time_that_is_up_is_said_with_the_reason() -> None:
    cluster = Cluster({"partitions": partitions(256)})
    with pytest.raises(GridError, match=r"^not safe within 2 s: 0 of 256 partitions have a backup"):
        cluster.wait(2.0)
    assert cluster.now_s == 102.0


def test_no_time_at_all_is_one_look() -> None:
    cluster = Cluster({"partitions": partitions(1)})
    with pytest.raises(GridError):
        cluster.wait(0.0)
    assert cluster.shown == []
    assert Cluster({}).wait(0.0)
