"""Proof that a process has ended: what one node does with the three signs and with witnesses."""

from __future__ import annotations

import pytest

from grid.membership import swim
from grid.membership.beliefs import ARRIVAL_TIMER, ARRIVALS_S
from grid.membership.effects import KeepConnections, MembershipEffect, StreamAnswer, StreamPing
from grid.membership.messages import Ack, Gossip, Ping, ProcessEnded
from grid.membership.swim import PERIOD_TIMER, TOLD_DIRECTLY_MAX

from .samples import (
    ALIVE,
    DEAD,
    LEFT,
    OPTIONS,
    REPORT,
    SUSPECT,
    OneNode,
    address,
    changes,
    delay_of,
    node_id,
    of_kind,
    record,
    sent,
)

SILENCE = ("swim-silence", node_id(2))


def end_connection(tested: OneNode, subject: int = 2) -> int:
    """Let a kept connection end; return the number of the ping that asks for death."""
    ((target, ping),) = sent(Ping, tested.core.connection_ended(node_id(subject)))
    assert target == address(subject)
    return ping.probe


def bear_witness(tested: OneNode) -> list[object]:
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    return list(tested.fire(SILENCE, after_s=0.3))


# -- the signs ------------------------------------------------------------------------------------


def test_connection_to_the_next_four_of_the_ring_is_kept() -> None:
    tested = OneNode(3, knows=range(1, 9))
    (kept,) = of_kind(KeepConnections, tested.fire(PERIOD_TIMER))
    assert [member.pid for member in kept.members] == [4, 5, 6, 7]
    assert of_kind(KeepConnections, tested.fire(PERIOD_TIMER)) == []
    tested.gossip(record(5, DEAD))
    (kept,) = of_kind(KeepConnections, tested.fire(PERIOD_TIMER))
    assert [member.pid for member in kept.members] == [4, 6, 7, 8]


def test_connection_to_a_newcomer_is_kept_before_the_period_is_over() -> None:
    tested = OneNode(1, knows=(2,))
    tested.fire(PERIOD_TIMER)
    effects = tested.gossip(record(3))
    assert delay_of(ARRIVAL_TIMER, effects) == ARRIVALS_S < OPTIONS.protocol_period_s
    (kept,) = of_kind(KeepConnections, tested.fire(ARRIVAL_TIMER))
    assert [member.pid for member in kept.members] == [2, 3]


def test_end_of_a_connection_asks_for_the_other_two_signs() -> None:
    tested = OneNode(knows=(2, 3))
    effects = tested.core.connection_ended(node_id(2))
    ((target, ping),) = sent(Ping, effects)
    assert target == address(2)
    wait_s = OPTIONS.process_death_wait_s
    assert of_kind(StreamPing, effects) == [StreamPing(ping.probe, node_id(2), address(2), wait_s)]
    assert delay_of(SILENCE, effects) == wait_s
    assert tested.core.connection_ended(node_id(2)) == [], "it is asked once at a time"
    assert tested.state(2) is ALIVE


@pytest.mark.parametrize("subject", [3, 4, 9])
def test_end_of_a_connection_to_nobody_living_asks_nothing(subject: int) -> None:
    tested = OneNode(knows=(2, 3, 4))
    tested.gossip(record(3, DEAD), record(4, LEFT))
    assert tested.core.connection_ended(node_id(subject)) == []


def test_all_three_signs_make_a_witness_who_accuses_and_tells_everybody_else() -> None:
    tested = OneNode(knows=(2, 3, 4))
    effects = bear_witness(tested)
    assert changes(effects) == [record(2, SUSPECT, by=1)]
    testimony = ProcessEnded(node_id(2))
    assert sent(ProcessEnded, effects) == [(address(3), testimony), (address(4), testimony)]
    assert tested.state(2) is SUSPECT, "one witness is not enough"


def test_signs_count_in_either_order() -> None:
    tested = OneNode(knows=(2, 3))
    number = end_connection(tested)
    assert tested.fire(SILENCE, after_s=0.3) == []
    effects = tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    assert sent(ProcessEnded, effects) == [(address(3), ProcessEnded(node_id(2)))]


def test_without_the_end_of_a_connection_there_is_no_death() -> None:
    tested = OneNode(knows=(2,))
    number = tested.probe_of(2)
    tested.fire(("swim-direct", number), after_s=0.5)
    assert tested.core.stream_ping_ended(number, StreamAnswer.REFUSED) == []
    tested.fire(("swim-end", number), after_s=1.5)
    assert tested.fire(SILENCE) == []
    assert tested.state(2) is SUSPECT


@pytest.mark.parametrize("answer", [StreamAnswer.SILENT, StreamAnswer.ANSWERED, None])
def test_without_a_refusal_there_is_no_death(answer: StreamAnswer | None) -> None:
    tested = OneNode(knows=(2,))
    number = end_connection(tested)
    if answer is not None:
        assert tested.core.stream_ping_ended(number, answer) == []
    assert tested.fire(SILENCE, after_s=0.3) == []
    assert tested.state(2) is ALIVE


def test_without_silence_there_is_no_death() -> None:
    tested = OneNode(knows=(2,))
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    tested.hear(2, Ack(number, REPORT, []))
    assert tested.fire(SILENCE, after_s=0.3) == []
    assert tested.state(2) is ALIVE


def test_answer_of_somebody_else_breaks_no_silence() -> None:
    tested = OneNode(knows=(2, 3))
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    tested.hear(3, Ack(number, REPORT, []))
    assert sent(ProcessEnded, tested.fire(SILENCE, after_s=0.3))


def test_refusal_of_a_former_attempt_is_no_sign() -> None:
    tested = OneNode(knows=(2, 3))
    former = end_connection(tested)
    tested.hear(2, Ack(former, REPORT, []))
    end_connection(tested)
    assert tested.core.stream_ping_ended(former, StreamAnswer.REFUSED) == []
    assert tested.fire(SILENCE, after_s=0.3) == []


def test_any_answered_probe_voids_the_evidence() -> None:
    tested = OneNode(knows=(2, 3))
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    tested.hear(2, Ack(tested.probe_of(2), REPORT, []))
    assert tested.fire(SILENCE, after_s=0.3) == []


def test_late_answer_voids_the_testimony_it_contradicts() -> None:
    tested = OneNode(knows=(2, 3, 4))
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    assert sent(ProcessEnded, tested.fire(SILENCE, after_s=0.3))
    tested.hear(2, Ack(number, REPORT, []))
    assert tested.hear(3, ProcessEnded(node_id(2))) == []


def test_sleeper_is_no_witness() -> None:
    tested = OneNode(knows=(2,))
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
    tested.core.woke_late(1.0)
    assert tested.fire(SILENCE, after_s=1.0) == []
    assert tested.state(2) is ALIVE


def test_evidence_about_the_gone_is_not_kept() -> None:
    """Of four watchers two are heard first; the others learn of the death by gossip."""
    tested = OneNode(knows=range(2, 40))
    for subject in range(10, 40):
        number = end_connection(tested, subject)
        tested.core.stream_ping_ended(number, StreamAnswer.REFUSED)
        tested.gossip(record(subject, DEAD))
        tested.fire(("swim-silence", node_id(subject)), after_s=0.3)
    assert len(tested.core._swim._deaths._evidence) == 0


# -- witnesses ------------------------------------------------------------------------------------


def test_only_other_member_is_enough_alone() -> None:
    tested = OneNode(knows=(2,))
    assert changes(bear_witness(tested)) == [record(2, SUSPECT, by=1), record(2, DEAD)]


def test_two_witnesses_make_it_dead_at_once_and_everybody_hears_so() -> None:
    tested = OneNode(knows=(2, 3, 4))
    assert tested.hear(3, ProcessEnded(node_id(2))) == []
    effects = bear_witness(tested)
    assert changes(effects) == [record(2, SUSPECT, by=1), record(2, DEAD)]
    news = Gossip(REPORT, [record(2, DEAD)])
    assert sent(Gossip, effects) == [(address(3), news), (address(4), news)]


def test_two_other_witnesses_are_enough_for_one_who_has_seen_nothing() -> None:
    tested = OneNode(knows=(2, 3, 4))
    tested.hear(3, ProcessEnded(node_id(2)))
    assert tested.hear(3, ProcessEnded(node_id(2))) == []
    assert changes(tested.hear(4, ProcessEnded(node_id(2)))) == [record(2, DEAD)]


def test_sign_of_life_voids_the_testimony_of_others() -> None:
    tested = OneNode(knows=(2, 3, 4))
    tested.hear(3, ProcessEnded(node_id(2)))
    tested.hear(2, Ack(tested.probe_of(2), REPORT, []))
    assert tested.hear(4, ProcessEnded(node_id(2))) == []


@pytest.mark.parametrize("subject", [1, 9, 5])
def test_testimony_about_oneself_or_nobody_living_is_ignored(subject: int) -> None:
    tested = OneNode(knows=(2, 3, 4, 5))
    tested.gossip(record(5, DEAD))
    for witness in (2, 3, 4):
        effects: list[MembershipEffect] = tested.hear(witness, ProcessEnded(node_id(subject)))
        assert effects == []
    assert tested.core.own == record(1)


def test_in_a_large_cluster_a_death_travels_by_gossip_alone(monkeypatch) -> None:
    assert TOLD_DIRECTLY_MAX == 64
    monkeypatch.setattr(swim, "TOLD_DIRECTLY_MAX", 2)
    tested = OneNode(knows=range(2, 7))
    tested.hear(3, ProcessEnded(node_id(2)))
    effects = bear_witness(tested)
    assert record(2, DEAD) in changes(effects)
    assert sent(Gossip, effects) == []


# -- another node at the address ------------------------------------------------------------------


def test_another_node_at_the_address_is_a_death_at_once() -> None:
    tested = OneNode(knows=(2, 3, 4))
    number = end_connection(tested)
    effects = tested.core.stream_ping_ended(number, StreamAnswer.ANOTHER_NODE)
    assert changes(effects) == [record(2, DEAD)]
    assert [destination for destination, _ in sent(Gossip, effects)] == [address(3), address(4)]
    assert tested.fire(SILENCE, after_s=0.3) == []


def test_another_node_found_by_a_probe_is_a_death_as_well() -> None:
    tested = OneNode(knows=(2, 3, 4))
    number = tested.probe_of(2)
    tested.fire(("swim-direct", number), after_s=0.5)
    effects = tested.core.stream_ping_ended(number, StreamAnswer.ANOTHER_NODE)
    assert changes(effects) == [record(2, DEAD)]
    assert tested.fire(("swim-end", number), after_s=1.5) == []


def test_answer_by_connection_voids_evidence_and_testimony() -> None:
    tested = OneNode(knows=(2, 3, 4))
    tested.hear(3, ProcessEnded(node_id(2)))
    number = end_connection(tested)
    tested.core.stream_ping_ended(number, StreamAnswer.ANSWERED)
    assert tested.hear(4, ProcessEnded(node_id(2))) == []
    assert tested.state(2) is ALIVE


@pytest.mark.parametrize("answer", list(StreamAnswer))
def test_end_of_a_forgotten_attempt_to_connect_changes_nothing(answer: StreamAnswer) -> None:
    assert OneNode(knows=(2,)).core.stream_ping_ended(123, answer) == []
