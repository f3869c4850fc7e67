"""The failure detector of one node: probes, helpers, connections, stalls.

Process deaths are in ``test_swim_deaths.py``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from grid.membership import swim
from grid.membership.effects import Exchange, StreamAnswer, StreamPing
from grid.membership.messages import Ack, Nack, Ping, PingReq, RelayedAck
from grid.membership.swim import NACK_SHARE, PERIOD_TIMER, STREAM_ONLY_MAX, STREAM_ONLY_WARNING
from grid.types import WARNING, LogLine, SetTimer

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


def direct_wait_over(tested: OneNode, number: int, *, after_s: float = 0.5) -> list[object]:
    return list(tested.fire(("swim-direct", number), after_s=after_s))


def probe_over(tested: OneNode, number: int, *, after_s: float = 1.5) -> list[object]:
    return list(tested.fire(("swim-end", number), after_s=after_s))


def fail_probe(tested: OneNode, target: int, *nacks: int, answer: StreamAnswer | None = None):
    """Let a probe of `target` go unanswered; `nacks` say that they live, a stream may answer."""
    number = tested.probe_of(target)
    direct_wait_over(tested, number)
    for helper in nacks:
        tested.hear(helper, Nack(number))
    if answer is not None:
        tested.core.stream_ping_ended(number, answer)
    return probe_over(tested, number)


# -- probing --------------------------------------------------------------------------------------


def test_first_period_begins_at_a_random_phase() -> None:
    phases = {delay_of(PERIOD_TIMER, OneNode(seed=seed).core.start()) for seed in range(20)}
    assert len(phases) == 20
    assert all(0 <= phase <= OPTIONS.protocol_period_s for phase in phases)


def test_every_other_member_is_probed_once_a_pass() -> None:
    tested = OneNode(knows=(2, 3, 4, 5))
    probes = Counter(tested.probe()[0] for _ in range(40))
    assert probes == dict.fromkeys(map(address, (2, 3, 4, 5)), 10)


def test_node_alone_probes_nobody() -> None:
    effects = OneNode().fire(PERIOD_TIMER)
    assert effects == [SetTimer(PERIOD_TIMER, OPTIONS.protocol_period_s)]


def test_probes_overlap_because_a_period_is_shorter_than_a_deadline() -> None:
    tested = OneNode(knows=(2, 3, 4))
    numbers = {tested.probe()[1].probe for _ in range(4)}
    assert len(tested.core._swim._prober._outstanding) == len(numbers) == 4


def test_ping_is_answered_to_its_source_with_its_number() -> None:
    effects = OneNode(knows=(2,)).hear(2, Ping(77, REPORT, []))
    assert sent(Ack, effects) == [(address(2), Ack(77, REPORT, []))]


def test_member_that_answers_in_time_is_neither_suspected_nor_sought_further() -> None:
    tested = OneNode(knows=(2, 3))
    number = tested.probe_of(2)
    tested.hear(2, Ack(number, REPORT, []))
    assert direct_wait_over(tested, number) == []
    assert probe_over(tested, number) == []
    assert tested.state(2) is ALIVE


def test_direct_wait_adapts_to_the_round_trips() -> None:
    tested = OneNode(knows=(2,))
    waits = []
    for _ in range(9):
        effects = tested.fire(PERIOD_TIMER)
        ((_, ping),) = sent(Ping, effects)
        waits.append(delay_of(("swim-direct", ping.probe), effects))
        tested.clock.now_s += 0.06
        tested.hear(2, Ack(ping.probe, REPORT, []))
    assert waits == pytest.approx([0.5] * 8 + [0.18])


def test_answer_of_somebody_else_does_not_save_the_silent() -> None:
    tested = OneNode(knows=(2, 3))
    number = tested.probe_of(2)
    tested.hear(3, Ack(number, REPORT, []))
    direct_wait_over(tested, number)
    probe_over(tested, number)
    assert tested.state(2) is SUSPECT


def test_answer_after_the_suspicion_does_not_end_it() -> None:
    tested = OneNode(knows=(2,))
    number = tested.probe_of(2)
    direct_wait_over(tested, number)
    probe_over(tested, number)
    tested.hear(2, Ack(number, REPORT, []))
    assert tested.state(2) is SUSPECT, "only the suspect itself refutes, by its incarnation"


# -- asking others --------------------------------------------------------------------------------


def test_without_an_answer_three_others_and_a_connection_are_tried_until_the_deadline() -> None:
    tested = OneNode(knows=range(2, 9))
    number = tested.probe_of(5)
    effects = direct_wait_over(tested, number)
    requests = sent(PingReq, effects)
    assert len({asked for asked, _ in requests} - {address(1), address(5)}) == 3
    wanted = [(request.probe, request.subject, request.patience_ms) for _, request in requests]
    assert wanted == [(number, node_id(5), 1500)] * 3
    assert of_kind(StreamPing, effects) == [StreamPing(number, node_id(5), address(5), 1.5)]
    assert delay_of(("swim-end", number), effects) == 1.5


def test_helpers_are_as_many_as_configured() -> None:
    options = dataclasses.replace(OPTIONS, ping_req_members=1)
    tested = OneNode(knows=range(2, 9), options=options)
    assert len(sent(PingReq, direct_wait_over(tested, tested.probe_of(5)))) == 1


def test_helper_pings_and_passes_the_answer_on() -> None:
    helper = OneNode(3, knows=(1, 5))
    effects = helper.hear(1, PingReq(77, node_id(5), 1000, REPORT, []))
    ((target, ping),) = sent(Ping, effects)
    assert target == address(5)
    assert delay_of(("swim-relay", ping.probe), effects) == pytest.approx(NACK_SHARE * 1.0)
    answers = sent(RelayedAck, helper.hear(5, Ack(ping.probe, REPORT, [])))
    assert [(to, answer.probe) for to, answer in answers] == [(address(1), 77)]
    assert helper.fire(("swim-relay", ping.probe)) == []


def test_helper_says_no_at_80_percent_of_the_askers_patience() -> None:
    helper = OneNode(3, knows=(1, 5))
    ((_, ping),) = sent(Ping, helper.hear(1, PingReq(77, node_id(5), 1000, REPORT, [])))
    timer = ("swim-relay", ping.probe)
    assert sent(Nack, helper.fire(timer)) == [(address(1), Nack(77))]
    assert helper.fire(timer) == []


def test_helpers_patience_is_at_most_its_own_deadline() -> None:
    helper = OneNode(3, knows=(1, 5))
    effects = helper.hear(1, PingReq(77, node_id(5), 10**9, REPORT, []))
    ((_, ping),) = sent(Ping, effects)
    assert delay_of(("swim-relay", ping.probe), effects) == NACK_SHARE * OPTIONS.probe_deadline_s


@pytest.mark.parametrize("subject", [5, 9])
def test_helper_that_knows_no_such_living_member_says_no_at_once(subject: int) -> None:
    helper = OneNode(3, knows=(1, 5))
    helper.gossip(record(5, DEAD), sender=1)
    effects = helper.hear(1, PingReq(77, node_id(subject), 1000, REPORT, []))
    assert sent(Nack, effects) == [(address(1), Nack(77))]
    assert sent(Ping, effects) == []


def test_answer_through_a_helper_ends_the_probe() -> None:
    tested = OneNode(knows=(2, 3, 4))
    tested.core.health.worsen()
    number = tested.probe_of(2)
    health = tested.health
    direct_wait_over(tested, number)
    tested.hear(3, RelayedAck(number, REPORT, []))
    assert probe_over(tested, number) == []
    assert (tested.state(2), tested.health) == (ALIVE, max(0, health - 1))


def test_answer_through_somebody_who_was_not_asked_is_ignored() -> None:
    tested = OneNode(knows=(2, 3, 4))
    number = tested.probe_of(2)
    tested.hear(3, RelayedAck(number, REPORT, []))
    direct_wait_over(tested, number)
    tested.hear(2, RelayedAck(number, REPORT, []))
    probe_over(tested, number)
    assert tested.state(2) is SUSPECT


# -- accusing -------------------------------------------------------------------------------------


def test_silent_member_is_suspected_then_dead() -> None:
    tested = OneNode(knows=(2,))
    effects = fail_probe(tested, 2)
    assert changes(effects) == [record(2, SUSPECT, by=1)]
    assert tested.core._swim._prober._outstanding == {}
    timer = ("suspicion", node_id(2))
    assert delay_of(timer, effects) == OPTIONS.suspicion_max_s
    assert tested.fire(timer, after_s=9.9) == []
    assert changes(tested.fire(timer, after_s=0.1)) == [record(2, DEAD)]


def test_member_that_went_during_the_probe_is_not_accused() -> None:
    for state in (DEAD, LEFT):
        tested = OneNode(knows=(2, 3))
        number = tested.probe_of(2)
        tested.gossip(record(2, state), sender=3)
        assert direct_wait_over(tested, number) == []
        assert tested.core._swim._prober._outstanding == {}
        assert probe_over(tested, number) == []
        assert tested.health == 0


@pytest.mark.parametrize(("nacks", "worse_by"), [((), 3), ((3,), 2), ((3, 4), 1), ((3, 4, 5), 0)])
def test_helpers_that_do_not_even_say_no_indict_this_node(
    nacks: tuple[int, ...], worse_by: int
) -> None:
    tested = OneNode(knows=range(2, 6))
    fail_probe(tested, 2, *nacks)
    assert (tested.health, tested.state(2)) == (worse_by, SUSPECT)


def test_failed_probe_without_helpers_is_a_sign_of_own_trouble() -> None:
    tested = OneNode(knows=(2,))
    fail_probe(tested, 2)
    assert tested.health == 1


def test_silence_of_a_suspect_says_nothing_of_ones_own_health() -> None:
    tested = OneNode(knows=range(2, 6))
    tested.gossip(record(2, SUSPECT, by=3), sender=3)
    fail_probe(tested, 2)
    assert tested.health == 0


def test_poor_health_stretches_periods_and_deadlines_up_to_eightfold() -> None:
    tested = OneNode(knows=(2, 3, 4, 5))
    for score in (0, 3, 7, 99):
        tested.core.health.score = 0
        tested.core.health.worsen(score)
        factor = min(score, 7) + 1
        effects = tested.fire(PERIOD_TIMER)
        assert delay_of(PERIOD_TIMER, effects) == OPTIONS.protocol_period_s * factor
        ((_, ping),) = sent(Ping, effects)
        wait_s = delay_of(("swim-direct", ping.probe), effects)
        assert wait_s == pytest.approx(min(0.5 * factor, 2.0 * factor / 2))
        asked = direct_wait_over(tested, ping.probe, after_s=wait_s)
        assert delay_of(("swim-end", ping.probe), asked) == pytest.approx(2.0 * factor - wait_s)


# -- the buddy system -----------------------------------------------------------------------------


def test_suspect_hears_of_it_from_any_ping_and_refutes() -> None:
    tested, suspect = OneNode(knows=(2, 3)), OneNode(2, knows=(1,))
    accusation = record(2, SUSPECT, by=3)
    tested.gossip(accusation, sender=3)
    for _ in range(60):
        target, ping = tested.probe()  # Until it rides on nothing by itself any more.
        if target == address(2):
            assert ping.updates[0] == accusation
    effects = suspect.hear(1, ping if target == address(2) else Ping(1, REPORT, [accusation]))
    ((_, ack),) = sent(Ack, effects)
    assert record(2, ALIVE, 1) in ack.updates
    assert suspect.health == 1
    assert changes(tested.hear(2, ack)) == [record(2, ALIVE, 1)]


def test_suspect_that_pings_hears_of_it_from_the_answer() -> None:
    tested = OneNode(knows=(2, 3))
    accusation = record(2, SUSPECT, by=3)
    tested.gossip(accusation, sender=3)
    for _ in range(30):
        ((_, ack),) = sent(Ack, tested.hear(2, Ping(1, REPORT, [])))
        assert ack.updates[0] == accusation


def test_helpers_hear_whom_they_are_to_ping_is_suspected() -> None:
    tested = OneNode(knows=(2, 3, 4))
    accusation = record(2, SUSPECT, by=3)
    tested.gossip(accusation, sender=3)
    requests = sent(PingReq, direct_wait_over(tested, tested.probe_of(2)))
    assert [request.updates[0] for _, request in requests] == [accusation] * 2


# -- TCP answers where UDP does not ---------------------------------------------------------------


def test_member_that_answers_by_connection_only_is_not_suspected_and_lists_are_swapped() -> None:
    tested = OneNode(knows=(2, 3))
    effects = fail_probe(tested, 2, answer=StreamAnswer.ANSWERED)
    assert [exchange.address for exchange in of_kind(Exchange, effects)] == [address(2)]
    assert (tested.state(2), tested.health) == (ALIVE, 0)


@pytest.mark.parametrize("answer", [StreamAnswer.REFUSED, StreamAnswer.SILENT])
def test_connection_that_is_refused_or_unanswered_does_not_save_the_silent(
    answer: StreamAnswer,
) -> None:
    tested = OneNode(knows=(2, 3))
    fail_probe(tested, 2, answer=answer)
    assert tested.state(2) is SUSPECT


def test_after_five_probes_in_a_row_a_person_is_told_once() -> None:
    assert STREAM_ONLY_WARNING == 5
    tested = OneNode(knows=(2, 3))
    warned = []
    for _ in range(8):
        effects = fail_probe(tested, 2, answer=StreamAnswer.ANSWERED)
        lines = of_kind(LogLine, effects)
        assert all(line.level == WARNING and "UDP port 7701" in line.text for line in lines)
        warned.append(len(lines))
        tested.core.exchange_ended(address(2), None, None)
    assert warned == [0, 0, 0, 0, 1, 0, 0, 0]


def test_an_answer_by_datagram_begins_the_count_anew() -> None:
    tested = OneNode(knows=(2, 3))
    for attempt in range(9):
        effects = fail_probe(tested, 2, answer=StreamAnswer.ANSWERED)
        assert of_kind(LogLine, effects) == []
        if attempt == 3:
            tested.hear(2, Ack(tested.probe_of(2), REPORT, []))
        if attempt == 7:
            break


def test_members_that_only_tcp_reaches_are_counted_up_to_a_bound(monkeypatch) -> None:
    assert STREAM_ONLY_MAX == 256
    monkeypatch.setattr(swim, "STREAM_ONLY_MAX", 2)
    tested = OneNode(knows=(2, 3, 4, 5))
    for target in (2, 3, 4, 5):
        number = tested.probe_of(target, others_answer=False)
        direct_wait_over(tested, number)
        tested.core.stream_ping_ended(number, StreamAnswer.ANSWERED)
        probe_over(tested, number)
    assert set(tested.core._swim._stream_only) == {node_id(4), node_id(5)}


# -- stalls ---------------------------------------------------------------------------------------


def stalled(lateness_s: float) -> tuple[OneNode, int, list[object]]:
    """Return a node with an open probe of 2 and a suspicion of 3 that wakes late."""
    tested = OneNode(knows=(2, 3, 4))
    number = tested.probe_of(2)
    tested.gossip(record(3, SUSPECT, by=4), sender=4)
    tested.clock.now_s += lateness_s
    return tested, number, list(tested.core.woke_late(lateness_s))


def test_wake_in_time_changes_nothing() -> None:
    tested, _, effects = stalled(0.24)
    assert (effects, tested.health) == ([], 0)


def test_late_wake_is_a_sign_of_own_trouble_only() -> None:
    tested, number, effects = stalled(0.9)
    assert (effects, tested.health) == ([], 1)
    direct_wait_over(tested, number)
    probe_over(tested, number)
    assert tested.state(2) is SUSPECT


def test_sleeper_blames_nobody() -> None:
    tested, number, effects = stalled(30.0)
    assert effects == [SetTimer(("suspicion", node_id(3)), 10.0)]
    assert tested.health == 1
    assert direct_wait_over(tested, number) == []
    assert probe_over(tested, number) == []
    assert tested.fire(("suspicion", node_id(3)), after_s=7.9) == []
    assert (tested.state(2), tested.state(3)) == (ALIVE, SUSPECT)
    assert changes(tested.fire(("suspicion", node_id(3)), after_s=0.2)) == [record(3, DEAD)]


def test_sleeper_forgets_whom_it_was_to_ping_for_others() -> None:
    helper = OneNode(3, knows=(1, 5))
    ((_, ping),) = sent(Ping, helper.hear(1, PingReq(77, node_id(5), 1000, REPORT, [])))
    helper.core.woke_late(2.0)
    assert helper.fire(("swim-relay", ping.probe)) == []
    assert sent(RelayedAck, helper.hear(5, Ack(ping.probe, REPORT, []))) == []
