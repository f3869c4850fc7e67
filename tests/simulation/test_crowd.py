"""Crowds run the shipped membership core, and nothing else."""

from __future__ import annotations

import inspect

import pytest

from grid.membership.beliefs import Beliefs
from grid.membership.members import MemberList
from grid.membership.membership import Membership
from grid.membership.messages import MemberState
from grid.membership.swim import Swim
from grid.simulation.crowd import Crowd, CrowdNode, MembershipPlane
from grid.wire.report import NodeReport, encode_report

from .crowds import WatchedCrowd, settled


def test_nodes_of_a_crowd_run_the_shipped_core_itself() -> None:
    crowd = settled(1, 2)
    for node in crowd.crowd:
        assert isinstance(node.plane, Membership)
        assert type(node.plane._swim) is Swim
        assert type(node.plane._beliefs) is Beliefs
        assert type(node.plane.members) is MemberList
    own_methods = [name for name, _ in inspect.getmembers(MembershipPlane, inspect.isfunction)]
    changed = [
        n for n in own_methods if getattr(Membership, n, None) is not getattr(MembershipPlane, n)
    ]
    assert changed == ["handle_timer"]


def test_report_of_a_crowd_is_about_as_long_as_a_real_one() -> None:
    (node,) = (crowd := settled(1, 1)).crowd
    assert crowd.has_one_view()
    real = encode_report(NodeReport(entries=10**9, tasks_done=10**9, cpu_percent=99.9))
    assert len(node.plane._report()) >= len(real)


@pytest.mark.parametrize("count", [1, 2, 3, 20, 100])
def test_formed_crowd_has_one_view_from_the_beginning_and_keeps_it(count: int) -> None:
    crowd = WatchedCrowd(1)
    crowd.form(count)
    assert crowd.has_one_view()
    formed_s = crowd.clock.now_s
    crowd.run_for(2.0 if count > 50 else 20.0)
    assert crowd.has_one_view()
    assert crowd.told(MemberState.DEAD) == []
    assert formed_s == 0.0


def test_crowd_that_nobody_formed_forms_itself_by_beacons() -> None:
    crowd = WatchedCrowd(3)
    for number in range(8):
        crowd.add(0.1 * number)
    crowd.run_for(0.7)
    assert crowd.run_until_one_view(20.0) is not None
    assert len(crowd.crowd) == 8


def test_view_that_holds_a_dead_node_for_living_is_not_one_view() -> None:
    crowd = settled(1, 3)
    victim = crowd.crowd[0]
    victim.kill()
    assert not crowd.has_one_view()
    assert all(victim.node_id in node.living_ids() for node in crowd.crowd)
    agreed_s = crowd.run_until_one_view(crowd.clock.now_s + 30.0)
    assert agreed_s is not None
    assert agreed_s == crowd.clock.now_s


def test_waiting_for_one_view_ends_at_its_limit() -> None:
    crowd = settled(1, 3)
    crowd.network.split([crowd.crowd[0].host])
    crowd.run_for(20.0)
    limit_s = crowd.clock.now_s + 3.1
    assert crowd.run_until_one_view(limit_s) is None
    assert crowd.clock.now_s == limit_s


def test_node_of_a_crowd_never_founds_a_cluster() -> None:
    crowd = Crowd(1)
    crowd.add()
    crowd.clock.run_until(60.0)
    assert crowd.has_one_view()
    assert [type(node) for node in crowd.crowd] == [CrowdNode]


def test_crowd_keeps_no_log() -> None:
    crowd = settled(1, 3)
    crowd.crowd[0].kill()
    crowd.run_for(5.0)
    assert [node.log for node in crowd.slots] == [[], [], []]
