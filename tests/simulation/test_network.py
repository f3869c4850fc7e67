"""What the simulated network does to datagrams and connections."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest

from grid.simulation.network import (
    HANDSHAKE_SEGMENTS,
    SYN_RETRY_S,
    NetworkFaults,
    SimulatedNetwork,
)

SENT = 4_000


def network(seed: int = 1, **faults: float) -> SimulatedNetwork:
    return SimulatedNetwork(Random(seed), NetworkFaults(**faults))


def sent_from_a_to_b(net: SimulatedNetwork, count: int = SENT) -> list[list[float]]:
    return [net.datagram_delays_s("a", "b") for _ in range(count)]


def share(found: list[list[float]], copies: int) -> float:
    return sum(len(delays_s) == copies for delays_s in found) / len(found)


# -- datagrams --------------------------------------------------------------------------------


def test_each_datagram_arrives_once_within_the_bounds_when_nothing_is_wrong() -> None:
    found = sent_from_a_to_b(network(delay_s_min=0.1, delay_s_max=0.3))
    assert all(len(delays_s) == 1 for delays_s in found)
    delays_s = [delay_s for (delay_s,) in found]
    assert 0.1 <= min(delays_s) < 0.11
    assert 0.29 < max(delays_s) <= 0.3
    assert mean(delays_s) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_loss_takes_its_share_of_datagrams(loss: float) -> None:
    found = sent_from_a_to_b(network(loss=loss))
    assert share(found, 0) == pytest.approx(loss, abs=0.02)
    assert share(found, 1) == pytest.approx(1 - loss, abs=0.02)


@pytest.mark.parametrize("duplication", [0.0, 0.1, 1.0])
def test_duplication_makes_two_of_its_share(duplication: float) -> None:
    found = sent_from_a_to_b(network(duplication=duplication))
    assert share(found, 2) == pytest.approx(duplication, abs=0.02)


def test_each_copy_is_lost_for_itself() -> None:
    found = sent_from_a_to_b(network(duplication=1.0, loss=0.5))
    assert [share(found, copies) for copies in range(3)] == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.03
    )


def test_reordering_holds_its_share_back_so_that_later_ones_pass() -> None:
    found = sent_from_a_to_b(network(delay_s_max=0.001, reordering=0.3, reorder_s=0.5))
    delays_s = [delay_s for (delay_s,) in found]
    held_back = [delay_s for delay_s in delays_s if delay_s > 0.001]
    assert len(held_back) / SENT == pytest.approx(0.3, abs=0.03)
    assert max(delays_s) <= 0.501
    # Sent a hundredth of a second apart, many arrive in another order.
    arrivals = [0.01 * number + delay_s for number, delay_s in enumerate(delays_s)]
    assert arrivals != sorted(arrivals)


def test_without_reordering_and_jitter_order_is_kept() -> None:
    delays_s = [d for (d,) in sent_from_a_to_b(network(delay_s_min=0.01, delay_s_max=0.01))]
    assert set(delays_s) == {0.01}


# -- cuts -------------------------------------------------------------------------------------


def test_blocked_direction_is_silent_and_the_other_is_open() -> None:
    net = network()
    net.block("a", "b")
    assert net.datagram_delays_s("a", "b") == []
    assert len(net.datagram_delays_s("b", "a")) == 1
    assert net.is_cut("a", "b")
    assert not net.is_cut("b", "a")


@pytest.mark.parametrize("direction", [("a", "b"), ("b", "a")])
def test_connection_needs_both_directions(direction: tuple[str, str]) -> None:
    net = network()
    net.block(*direction)
    assert net.handshake_s("a", "b") is None
    assert net.handshake_s("a", "c") is not None


def test_block_of_udp_only_lets_connections_through() -> None:
    net = network()
    net.block("a", "b", udp_only=True)
    assert net.datagram_delays_s("a", "b") == []
    assert len(net.datagram_delays_s("b", "a")) == 1
    assert not net.is_cut("a", "b")
    assert net.handshake_s("a", "b") is not None
    assert net.handshake_s("b", "a") is not None


def test_split_cuts_between_the_sides_and_those_of_none_belong_together() -> None:
    net = network()
    net.split(["a", "b"], ["c"])
    pairs = [(x, y) for x in "abcdef" for y in "abcdef" if net.is_cut(x, y)]
    sides = {"a": 1, "b": 1, "c": 2, "d": 0, "e": 0, "f": 0}
    assert pairs == [(x, y) for x in sides for y in sides if sides[x] != sides[y]]
    assert net.datagram_delays_s("a", "c") == []
    assert net.handshake_s("c", "a") is None
    assert net.handshake_s("a", "b") is not None
    assert net.handshake_s("d", "e") is not None


def test_second_split_replaces_the_first() -> None:
    net = network()
    net.split(["a"], ["b", "c"])
    net.split(["a", "b"], ["c"])
    assert not net.is_cut("a", "b")
    assert net.is_cut("b", "c")


def test_heal_removes_split_blocks_and_rejections() -> None:
    net = network()
    net.split(["a"], ["b"])
    net.block("a", "b")
    net.block("b", "a", udp_only=True)
    net.reject_streams("a", "b")
    net.heal()
    assert not net.is_cut("a", "b")
    assert not net.is_rejecting("a", "b")
    assert len(net.datagram_delays_s("b", "a")) == 1
    assert net.handshake_s("a", "b") is not None


def test_rejecting_firewall_is_one_way_and_leaves_datagrams_alone() -> None:
    net = network()
    net.reject_streams("a", "b")
    assert net.is_rejecting("a", "b")
    assert not net.is_rejecting("b", "a")
    assert len(net.datagram_delays_s("a", "b")) == 1


# -- connections ------------------------------------------------------------------------------


def test_handshake_takes_the_delay_of_each_of_its_segments() -> None:
    net = network(delay_s_min=0.01, delay_s_max=0.01)
    assert net.handshake_s("a", "b") == pytest.approx(HANDSHAKE_SEGMENTS * 0.01)


def test_lost_segment_costs_a_connection_time_but_never_fails_it() -> None:
    net = network(loss=0.2, delay_s_max=0.001)
    durations_s = [net.handshake_s("a", "b") for _ in range(1_000)]
    found = [duration_s for duration_s in durations_s if duration_s is not None]
    assert len(found) == 1_000
    untouched = sum(duration_s <= HANDSHAKE_SEGMENTS * 0.001 for duration_s in found)
    assert untouched / 1_000 == pytest.approx(0.8**HANDSHAKE_SEGMENTS, abs=0.05)
    assert max(found) > SYN_RETRY_S


def test_network_that_loses_everything_connects_nobody() -> None:
    assert network(loss=1.0).handshake_s("a", "b") is None


# -- the seed ---------------------------------------------------------------------------------


def test_seed_decides_every_fate() -> None:
    faults = {"loss": 0.3, "duplication": 0.3, "reordering": 0.3}

    def fates(seed: int) -> list[list[float]]:
        return sent_from_a_to_b(network(seed, **faults), 200)

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)
