"""One fault at a time: who must not die of it, and what must settle while it lasts for ever."""

from __future__ import annotations

from random import Random

import pytest

from grid.membership.messages import MemberState
from grid.simulation.network import NetworkFaults
from grid.simulation.trial import Plan, Trial

from .crowds import WatchedCrowd, settled

FOR_EVER_S = 400.0
LATELY_S = 100.0


def assert_settled(crowd: WatchedCrowd) -> None:
    """Nobody has changed its mind about anybody of late."""
    since_s = crowd.clock.now_s - LATELY_S
    assert [change for change in crowd.changes if change[0] >= since_s] == []


# -- loss beyond what is promised -------------------------------------------------------------


@pytest.mark.parametrize(("loss", "tolerated"), [(0.1, 2), (0.2, 40)])
def test_more_loss_than_promised_is_measured(loss: float, tolerated: int) -> None:
    outcome = Trial(Plan(nodes=8, minutes=11, loss=loss, seed=5)).run()
    assert len(outcome.false_deaths) <= tolerated
    assert outcome.max_datagram_bytes <= 1200
    assert len(outcome.all_know_s) >= 15


# -- the bad network --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_jitter_reordering_and_duplicates_kill_nobody(seed: int) -> None:
    faults = NetworkFaults(delay_s_max=0.3, reordering=0.3, reorder_s=0.5, duplication=0.2)
    crowd = settled(seed, 8, faults)
    crowd.run_for(FOR_EVER_S)
    assert crowd.buried() == set()
    # Suspicions are rare and refuted: fewer than one of any node in an hour of each.
    assert len({at_s for at_s, _, _ in crowd.told(MemberState.SUSPECT)}) <= 16
    assert crowd.has_one_view()


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("count", [3, 5, 10])
def test_two_nodes_that_cannot_reach_each_other_both_live(count: int, both_ways: bool) -> None:
    crowd = settled(count, count)
    first, second = crowd.crowd[:2]
    crowd.network.block(first.host, second.host)
    if both_ways:
        crowd.network.block(second.host, first.host)
    crowd.run_for(FOR_EVER_S)
    assert crowd.buried() == set()
    assert crowd.has_one_view()
    assert_settled(crowd)


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_node_that_datagrams_do_not_reach_lives_on_connections_without_flapping(
    count: int, loss: float
) -> None:
    """A firewall that lets no UDP pass, neither to it nor from it."""
    crowd = settled(count, count, NetworkFaults(loss=loss))
    cut_off, *others = crowd.crowd
    for other in others:
        crowd.network.block(other.host, cut_off.host, udp_only=True)
        crowd.network.block(cut_off.host, other.host, udp_only=True)
    crowd.run_for(FOR_EVER_S)
    assert crowd.buried() == set()
    assert crowd.has_one_view()
    if not loss:
        assert_settled(crowd)


@pytest.mark.parametrize("is_deaf", [False, True])
def test_datagrams_that_pass_one_way_only_kill_nobody(is_deaf: bool) -> None:
    crowd = settled(4, 5)
    cut_off, *others = crowd.crowd
    for other in others:
        hosts = (other.host, cut_off.host)
        crowd.network.block(*(hosts if is_deaf else hosts[::-1]), udp_only=True)
    crowd.run_for(FOR_EVER_S)
    assert crowd.buried() == set()
    assert_settled(crowd)


def test_firewall_that_rejects_connections_everywhere_kills_nobody() -> None:
    crowd = settled(5, 6, NetworkFaults(loss=0.05))
    hosts = [node.host for node in crowd.crowd]
    for source in hosts:
        for target in hosts:
            crowd.network.reject_streams(source, target)
    crowd.run_for(FOR_EVER_S)
    assert crowd.buried() == set()
    assert crowd.has_one_view()


def test_reset_connections_kill_nobody_who_still_answers() -> None:
    """A restarted network stack: every kept connection ends, the processes live."""
    crowd = settled(5, 6)
    for keeper in crowd.crowd:
        for other in crowd.crowd:
            if other.node_id in keeper.kept:
                crowd.end_connection(keeper, other)
    crowd.run_for(30.0)
    assert crowd.buried() == set()
    assert crowd.told(MemberState.SUSPECT) == []


# -- sick nodes -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_slow_node_takes_nobody_else_along(seed: int) -> None:
    """Each event takes it 0.2 s: ten times what a node can have at this rate."""
    crowd = settled(seed, 10)
    slow = crowd.crowd[0]
    slow.service_s = 0.2
    crowd.run_for(FOR_EVER_S / 2)
    others = {node.node_id for node in crowd.slots[1:]}
    assert crowd.buried().isdisjoint(others)


def test_node_ten_times_slower_than_others_lives() -> None:
    crowd = settled(1, 10)
    crowd.crowd[0].service_s = 0.02
    crowd.run_for(FOR_EVER_S / 2)
    assert crowd.buried() == set()
    assert_settled(crowd)


@pytest.mark.parametrize("pause_s", [0.3, 1.0, 2.0])
def test_short_pauses_kill_nobody_even_all_the_time(pause_s: float) -> None:
    crowd, random = settled(2, 6), Random(2)
    for _ in range(100):
        node = random.choice(crowd.crowd)
        node.pause()
        crowd.run_for(pause_s)
        node.resume()
        crowd.run_for(random.uniform(0, 1))
    assert crowd.buried() == set()


@pytest.mark.parametrize("count", [2, 3, 8])
def test_everybody_paused_at_once_blames_nobody(count: int) -> None:
    """A laptop that sleeps, with all its nodes."""
    crowd = settled(3, count)
    nodes = crowd.crowd
    for node in nodes:
        node.pause()
    crowd.run_for(3600.0)
    for node in nodes:
        node.resume()
    crowd.run_for(30.0)
    assert crowd.buried() == set()
    assert crowd.has_one_view()


@pytest.mark.parametrize("seed", range(3))
def test_paused_node_is_buried_and_buries_nobody(seed: int) -> None:
    crowd = settled(seed, 5)
    sleeper = crowd.crowd[seed]
    sleeper.pause()
    crowd.run_for(20.0)
    assert crowd.buried() == {sleeper.node_id}
    sleeper.resume()
    agreed_s = crowd.run_until_one_view(crowd.clock.now_s + 30.0)
    assert agreed_s is not None
    assert not sleeper.is_running
    assert crowd.buried() == {sleeper.node_id}


# -- many deaths ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["crash", "kill"])
@pytest.mark.parametrize("count", [10, 40])
def test_third_of_all_dying_at_once_is_known_within_15_s_and_nobody_else_dies(
    count: int, fault: str
) -> None:
    crowd = settled(count, count, NetworkFaults(loss=0.02))
    died_s = crowd.clock.now_s
    victims = Random(count).sample(crowd.crowd, round(0.3 * count))
    for victim in victims:
        getattr(victim, fault)()
    agreed_s = crowd.run_until_one_view(died_s + 60.0)
    assert agreed_s is not None
    assert agreed_s - died_s < 15.0
    crowd.run_for(30.0)
    assert crowd.buried() == {victim.node_id for victim in victims}


def test_all_but_one_dying_at_once_leaves_one_that_knows() -> None:
    crowd = settled(1, 6)
    survivor, *victims = crowd.crowd
    for victim in victims:
        victim.crash()
    assert crowd.run_until_one_view(crowd.clock.now_s + 60.0) is not None
    assert crowd.ids() == {survivor.node_id}


# -- faults that last for ever ----------------------------------------------------------------


def test_split_that_never_heals_leaves_two_stable_views() -> None:
    crowd = settled(1, 7)
    sides = crowd.crowd[:3], crowd.crowd[3:]
    crowd.network.split(*([node.host for node in side] for side in sides))
    crowd.run_for(FOR_EVER_S)
    for side in sides:
        assert {tuple(node.living_ids()) for node in side} == {
            tuple(sorted(node.node_id for node in side))
        }
    assert_settled(crowd)
    assert crowd.ids() == {node.node_id for side in sides for node in side}


@pytest.mark.parametrize(("count", "seed"), [(3, 2), (5, 2), (9, 0), (9, 2)])
@pytest.mark.parametrize("hears", [True, False])
def test_node_whose_cable_works_one_way_for_ever_harms_nobody(
    hears: bool, count: int, seed: int
) -> None:
    """It hears all and says nothing, or says and hears nothing: the others agree without it."""
    crowd = settled(seed, count)
    half_cut, *others = crowd.crowd
    for other in others:
        hosts = (half_cut.host, other.host)
        crowd.network.block(*(hosts if hears else hosts[::-1]))
    crowd.run_for(FOR_EVER_S)
    since_s = crowd.clock.now_s - LATELY_S
    ids = {other.node_id for other in others}
    told = [change for change in crowd.changes if change[1] in ids]
    assert [change for change in told if change[2] in ids and change[3] is MemberState.DEAD] == []
    assert [change for change in told if change[0] >= since_s] == []


def test_dead_machine_that_never_comes_back_is_forgotten_by_nobody_and_troubles_nobody() -> None:
    crowd = settled(1, 5)
    crowd.crowd[2].crash()
    crowd.run_for(FOR_EVER_S)
    assert crowd.has_one_view()
    assert_settled(crowd)
    # Calls to the dead are seldom: no more is sent than in a quiet cluster.
    before = crowd.datagram_count
    crowd.run_for(60.0)
    assert (crowd.datagram_count - before) / (4 * 120) == pytest.approx(2.0, abs=0.5)
