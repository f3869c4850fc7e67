"""One simulated node behaves as the real driver does: late timers, pauses, slowness."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from grid.membership.effects import (
    Exchange,
    KeepConnections,
    SendDatagram,
    StreamAnswer,
    StreamPing,
)
from grid.membership.messages import Nack
from grid.simulation.node import EXCHANGE_DEADLINE_S, INBOX_MAX, SimulatedNode
from grid.types import INFO, Address, LogLine, NodeId, SetTimer

from .noting import LISTS, NotingWorld, plane_of


def heard(node: SimulatedNode) -> list[tuple[Any, ...]]:
    return plane_of(node).heard


@pytest.fixture(name="world")
def fixture_world() -> NotingWorld:
    return NotingWorld(1)


@pytest.fixture(name="node")
def fixture_node(world: NotingWorld) -> SimulatedNode:
    return world.started()


def arrive(node: SimulatedNode, number: int) -> None:
    node.receive(NodeId(bytes(16)), Address("10.0.0.9", 7701), Nack(number))


# -- timers -----------------------------------------------------------------------------------


def test_timer_fires_when_due_and_only_once(world: NotingWorld, node: SimulatedNode) -> None:
    node.perform([SetTimer("a", 1.0), SetTimer("b", 0.5)])
    world.run_for(5.0)
    assert heard(node) == [(0.5, "timer b"), (1.0, "timer a")]


def test_timer_set_anew_replaces_the_former(world: NotingWorld, node: SimulatedNode) -> None:
    node.perform([SetTimer("a", 1.0)])
    world.run_for(0.5)
    node.perform([SetTimer("a", 2.0)])
    world.run_for(5.0)
    assert heard(node) == [(2.5, "timer a")]


# -- pauses -----------------------------------------------------------------------------------


def test_paused_node_hears_nothing_until_it_goes_on(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("a", 1.0)])
    node.pause()
    arrive(node, 1)
    world.run_for(5.0)
    assert heard(node) == []


def test_resumed_node_reads_datagrams_then_says_how_late_it_is_then_runs_timers(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("b", 2.0), SetTimer("a", 1.0), SetTimer("later", 60.0)])
    node.pause()
    world.run_for(3.0)
    arrive(node, 1)
    arrive(node, 2)
    world.run_for(2.0)
    node.resume()
    assert heard(node) == [
        (5.0, "datagram", Nack(1)),
        (5.0, "datagram", Nack(2)),
        (5.0, "late", 4.0),
        (5.0, "timer a"),
        (5.0, "timer b"),
    ]


def test_pause_during_which_nothing_was_due_is_not_told(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("a", 10.0)])
    node.pause()
    world.run_for(5.0)
    node.resume()
    assert heard(node) == []
    world.run_for(5.0)
    assert heard(node) == [(10.0, "timer a")]


def test_timer_that_waking_sets_anew_does_not_fire_late(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("a", 1.0)])
    plane_of(node).wants["late"] = [SetTimer("a", 2.0)]
    node.pause()
    world.run_for(5.0)
    node.resume()
    world.run_for(5.0)
    assert heard(node) == [(5.0, "late", 4.0), (7.0, "timer a")]


def test_answer_that_was_read_first_sets_a_late_timer_anew(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("a", 1.0)])
    plane_of(node).wants["datagram"] = [SetTimer("a", 2.0)]
    node.pause()
    arrive(node, 1)
    world.run_for(5.0)
    node.resume()
    world.run_for(5.0)
    assert [what for _, what, *_ in heard(node)] == ["datagram", "late", "timer a"]


def test_connections_wait_for_a_paused_node_behind_its_timers(
    world: NotingWorld, node: SimulatedNode
) -> None:
    asker = world.started()
    node.perform([SetTimer("a", 1.0)])
    node.pause()
    asker.perform([Exchange(node.address, LISTS)])
    world.run_for(2.0)
    node.resume()
    assert [what for _, what, *_ in heard(node)] == ["late", "timer a", "asked"]
    world.run_for(1.0)
    assert [what for _, what, *_ in heard(asker)] == ["exchanged"]


def test_inbox_of_a_paused_node_is_bounded(world: NotingWorld, node: SimulatedNode) -> None:
    node.pause()
    for number in range(INBOX_MAX + 10):
        arrive(node, number)
    node.resume()
    assert len(heard(node)) == INBOX_MAX
    assert heard(node)[-1] == (0.0, "datagram", Nack(INBOX_MAX - 1))


def test_node_killed_while_paused_never_goes_on(world: NotingWorld, node: SimulatedNode) -> None:
    node.perform([SetTimer("a", 1.0)])
    node.pause()
    arrive(node, 1)
    world.run_for(2.0)
    node.kill()
    node.resume()
    world.run_for(5.0)
    assert heard(node) == []


def test_resuming_a_node_that_was_not_paused_changes_nothing(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("a", 1.0)])
    node.resume()
    world.run_for(2.0)
    assert heard(node) == [(1.0, "timer a")]


# -- slowness ---------------------------------------------------------------------------------


def test_slow_node_handles_one_event_after_the_other(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.service_s = 0.2
    node.perform([SetTimer("a", 0.1)])
    for number in range(3):
        arrive(node, number)
    world.run_for(5.0)
    assert heard(node) == [
        (0.2, "datagram", Nack(0)),
        (0.4, "datagram", Nack(1)),
        (0.6, "datagram", Nack(2)),
        (0.8, "late", 0.7),
        (0.8, "timer a"),
    ]


def test_slow_node_is_as_fast_as_any_when_little_happens(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.service_s = 0.02
    for number in range(3):
        arrive(node, number)
        world.run_for(1.0)
    assert [at_s for at_s, *_ in heard(node)] == [0.02, 1.02, 2.02]


def test_timer_of_a_slow_node_set_anew_meanwhile_fires_once(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.service_s = 0.5
    node.perform([SetTimer("a", 0.1)])
    world.run_for(0.2)
    node.perform([SetTimer("a", 2.0)])
    world.run_for(5.0)
    assert [at_s for at_s, what, *_ in heard(node) if what == "timer a"] == [2.7]


def test_timer_of_a_slow_node_survives_a_pause(world: NotingWorld, node: SimulatedNode) -> None:
    node.service_s = 0.5
    node.perform([SetTimer("a", 0.1)])
    world.run_for(0.2)  # Due, and waiting for its turn.
    node.pause()
    world.run_for(2.0)
    node.resume()
    world.run_for(2.0)
    assert [what for _, what, *_ in heard(node) if what == "timer a"] == ["timer a"]


# -- connections ------------------------------------------------------------------------------


def ask(world: NotingWorld, asker: SimulatedNode, target: SimulatedNode) -> object:
    """Ping a node over a connection, for at most 2 s; return the answer."""
    asker.perform([StreamPing(7, target.node_id, target.address, 2.0)])
    world.run_for(3.0)
    ((_, what, number, answer),) = heard(asker)
    assert (what, number) == ("pinged", 7)
    return answer


def test_connection_to_a_running_node_is_answered(world: NotingWorld, node: SimulatedNode) -> None:
    assert ask(world, node, world.started()) is StreamAnswer.ANSWERED


def test_connection_to_a_successor_finds_another_node(
    world: NotingWorld, node: SimulatedNode
) -> None:
    target = world.started()
    world.restart(target)
    world.run_for(1.0)
    assert ask(world, node, target) is StreamAnswer.ANOTHER_NODE


def test_connection_to_an_ended_process_is_refused(world: NotingWorld, node: SimulatedNode) -> None:
    target = world.started()
    target.kill()
    assert ask(world, node, target) is StreamAnswer.REFUSED


@pytest.mark.parametrize("reason", ["crash", "pause", "block there", "block back", "loss"])
def test_connection_to_what_does_not_answer_ends_in_silence(
    world: NotingWorld, node: SimulatedNode, reason: str
) -> None:
    target = world.started()
    if reason == "crash":
        target.crash()
    elif reason == "pause":
        target.pause()
    elif reason == "loss":
        world.network.faults = type(world.network.faults)(loss=1.0)
    else:
        hosts = (node.host, target.host)
        world.network.block(*(hosts if reason == "block there" else hosts[::-1]))
    assert ask(world, node, target) is StreamAnswer.SILENT
    assert heard(node)[0][0] == 2.0


def test_rejecting_firewall_refuses_although_the_node_runs(
    world: NotingWorld, node: SimulatedNode
) -> None:
    target = world.started()
    world.network.reject_streams(node.host, target.host)
    assert ask(world, node, target) is StreamAnswer.REFUSED


def test_exchange_tells_who_answered_or_ends_without_answer(
    world: NotingWorld, node: SimulatedNode
) -> None:
    target = world.started()
    node.perform([Exchange(target.address, LISTS)])
    world.run_for(1.0)
    target.crash()
    node.perform([Exchange(target.address, LISTS)])
    world.run_for(EXCHANGE_DEADLINE_S)
    assert [(what, sender) for _, what, sender in heard(node)] == [
        ("exchanged", target.node_id),
        ("exchanged", None),
    ]
    assert [what for _, what in heard(target)] == ["asked"]


def test_kept_connection_ends_with_the_process_and_no_other_does(
    world: NotingWorld, node: SimulatedNode
) -> None:
    watched, unwatched, crashed = (world.started() for _ in range(3))
    node.perform([KeepConnections((watched.base_plane.own, crashed.base_plane.own))])
    for victim in (watched, unwatched):
        victim.kill()
    crashed.crash()
    world.run_for(1.0)
    assert [(what, who) for _, what, who in heard(node)] == [("ended", watched.node_id)]


def test_killed_node_is_killed_once_and_neither_sends_nor_hears(
    world: NotingWorld, node: SimulatedNode
) -> None:
    node.perform([SetTimer("a", 1.0)])
    node.kill()
    node.kill()
    node.crash()
    arrive(node, 1)
    node.deliver(lambda: pytest.fail("delivered to a dead node"))
    world.run_for(5.0)
    assert heard(node) == []


# -- effects ----------------------------------------------------------------------------------


def test_datagrams_are_counted_and_log_lines_kept(world: NotingWorld, node: SimulatedNode) -> None:
    target = world.started()
    node.perform([SendDatagram(target.address, Nack(1)), LogLine(INFO, "hello")])
    world.run_for(1.0)
    assert node.sent_count == 1
    assert [details for _, what, *details in heard(target)] == [[Nack(1)]]
    assert node.log == ["0.000 hello"]


def test_effect_that_nobody_performs_is_an_error(node: SimulatedNode) -> None:
    with pytest.raises(AssertionError, match="nobody performs"):
        node.perform([object()])


def test_events_of_one_seed_repeat_themselves() -> None:
    def life(seed: int) -> list[tuple[Any, ...]]:
        world, random = NotingWorld(seed), Random(seed)
        nodes = [world.started() for _ in range(2)]
        for number in range(50):
            nodes[0].perform([SendDatagram(nodes[1].address, Nack(number))])
            world.run_for(random.random())
        return heard(nodes[1])

    assert life(3) == life(3)
