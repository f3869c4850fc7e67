"""The membership automaton, one node at a time."""

from __future__ import annotations

from collections import Counter

import pytest

from grid.membership.effects import (
    MemberChanged,
    MembershipEffect,
    ReportReceived,
    SelfDeclaredDead,
    SendDatagram,
)
from grid.membership.messages import Ack, Beacon, MemberRecord, MemberState, Ping, Sync
from grid.membership.options import MembershipOptions
from grid.membership.swim import PERIOD_TIMER, SYNC_TIMER, Swim
from grid.types import LogLine, SetTimer

from .samples import (
    ALIVE,
    DEAD,
    LEFT,
    SUSPECT,
    address,
    changed,
    node_id,
    of_kind,
    record,
    swim,
)

OPTIONS = MembershipOptions()


def tell(own: Swim, *updates: MemberRecord, sender: int = 2) -> list[MembershipEffect]:
    """Let `own` hear updates from a sender that it has just asked for them."""
    message = Sync(0, nonce_of(own.contact(address(sender))), b"r", list(updates))
    return own.handle_message(node_id(sender), address(sender), message)


def nonce_of(effects: list[MembershipEffect]) -> int:
    """Return what the last datagram asks to be echoed."""
    message = of_kind(SendDatagram, effects)[-1].message
    assert isinstance(message, Sync)
    return message.nonce


def swim_knowing(*numbers: int, own: int = 1) -> Swim:
    result = swim(own)
    for number in numbers:
        tell(result, record(number), sender=number)
    return result


def state_of(own: Swim, number: int) -> MemberState:
    known = own.members.get(node_id(number))
    assert known is not None
    return known.state


def probe(own: Swim) -> tuple[SendDatagram, int]:
    """Let one period pass; return the ping and its number."""
    (sent,) = of_kind(SendDatagram, own.handle_timer(PERIOD_TIMER))
    assert isinstance(sent.message, Ping)
    return sent, sent.message.probe


def changes(effects: list[MembershipEffect]) -> list[MemberRecord]:
    return [effect.record for effect in of_kind(MemberChanged, effects)]


def test_start_sets_both_timers_within_their_periods() -> None:
    delays = {effect.timer: effect.delay_s for effect in of_kind(SetTimer, swim().start())}
    assert 0 <= delays[PERIOD_TIMER] <= OPTIONS.protocol_period_s
    assert 0.5 * OPTIONS.sync_period_s <= delays[SYNC_TIMER] <= OPTIONS.sync_period_s


def test_every_other_member_is_probed_once_a_pass() -> None:
    own = swim_knowing(2, 3, 4, 5)
    own_probes = Counter(probe(own)[0].address for _ in range(40))
    assert own_probes == dict.fromkeys(map(address, (2, 3, 4, 5)), 10)


def test_node_alone_probes_nobody() -> None:
    assert swim().handle_timer(PERIOD_TIMER) == [SetTimer(PERIOD_TIMER, OPTIONS.protocol_period_s)]


def test_gone_members_are_not_probed() -> None:
    own = swim_knowing(2, 3, 4)
    tell(own, record(3, DEAD), record(4, LEFT))
    assert {probe(own)[0].address for _ in range(10)} == {address(2)}


def test_ping_is_answered_to_its_source_with_its_number() -> None:
    own = swim_knowing(2)
    effects = own.handle_message(node_id(2), address(2), Ping(77, b"r", []))
    (answer,) = of_kind(SendDatagram, effects)
    assert answer.address == address(2)
    assert isinstance(answer.message, Ack)
    assert answer.message.probe == 77


def test_member_that_answers_in_time_is_not_suspected() -> None:
    own = swim_knowing(2)
    _, number = probe(own)
    own.handle_message(node_id(2), address(2), Ack(number, b"r", []))
    assert own.handle_timer(("probe", number)) == []
    assert state_of(own, 2) is ALIVE


def test_answer_of_somebody_else_does_not_save_the_silent() -> None:
    own = swim_knowing(2)
    _, number = probe(own)
    tell(own, record(3), sender=3)
    own.handle_message(node_id(3), address(3), Ack(number, b"r", []))
    own.handle_timer(("probe", number))
    assert state_of(own, 2) is SUSPECT


def test_silent_member_is_suspected_then_dead() -> None:
    own = swim_knowing(2)
    _, number = probe(own)
    suspected = own.handle_timer(("probe", number))
    assert changes(suspected) == [record(2, SUSPECT)]
    (timer,) = of_kind(SetTimer, suspected)
    assert timer.delay_s == OPTIONS.suspicion_s
    assert isinstance(timer.timer, tuple)
    assert changes(own.handle_timer(timer.timer)) == [record(2, DEAD)]
    assert own.handle_timer(timer.timer) == []


def test_suspicion_that_was_refuted_does_not_kill() -> None:
    own = swim_knowing(2)
    _, number = probe(own)
    own.handle_timer(("probe", number))
    refuted = tell(own, record(2, ALIVE, 1), sender=3)
    assert changes(refuted) == [record(2, ALIVE, 1)]
    assert own.handle_timer(("suspicion", node_id(2), 0)) == []
    assert state_of(own, 2) is ALIVE


def test_deadline_of_an_old_suspicion_does_not_end_a_newer_one() -> None:
    own = swim_knowing(2, 3)
    tell(own, record(3, SUSPECT, 0), record(3, ALIVE, 1), record(3, SUSPECT, 1))
    assert own.handle_timer(("suspicion", node_id(3), 0)) == []
    assert state_of(own, 3) is SUSPECT
    own.handle_timer(("suspicion", node_id(3), 1))
    assert state_of(own, 3) is DEAD


def test_suspicion_heard_from_others_has_its_deadline_too() -> None:
    own = swim_knowing(2, 3)
    effects = tell(own, record(3, SUSPECT))
    assert SetTimer(("suspicion", node_id(3), 0), OPTIONS.suspicion_s) in effects


def test_suspect_refutes_by_raising_incarnation() -> None:
    own = swim_knowing(2)
    tell(own, record(1, SUSPECT, 4))
    assert own.own.incarnation == 5
    assert own.own.state is ALIVE
    message = probe(own)[0].message
    assert isinstance(message, Ping)
    assert own.own in message.updates


def test_old_suspicion_of_oneself_is_ignored() -> None:
    own = swim_knowing(2)
    tell(own, record(1, SUSPECT, 4))
    tell(own, record(1, SUSPECT, 4))
    tell(own, record(1, ALIVE, 9))
    assert own.own.incarnation == 5


@pytest.mark.parametrize("state", [DEAD, LEFT])
def test_node_that_hears_of_its_own_end_says_so(state: MemberState) -> None:
    own = swim_knowing(2)
    assert SelfDeclaredDead() in tell(own, record(1, state))
    assert own.own.state is ALIVE


def test_dead_stays_dead_whatever_is_heard_later() -> None:
    own = swim_knowing(2, 3)
    tell(own, record(3, DEAD))
    assert changes(tell(own, record(3, ALIVE, 99), record(3, SUSPECT, 99))) == []
    assert state_of(own, 3) is DEAD


def test_news_of_a_stranger_that_is_gone_is_kept_but_not_announced() -> None:
    own = swim_knowing(2)
    effects = tell(own, record(3, DEAD))
    assert changes(effects) == []
    assert of_kind(LogLine, effects) == []
    assert state_of(own, 3) is DEAD


def test_ping_of_a_stranger_is_acknowledged_and_its_list_asked_for() -> None:
    own = swim()
    effects = own.handle_message(node_id(2), address(2), Ping(1, b"r", []))
    sync, ack = (sent.message for sent in of_kind(SendDatagram, effects))
    assert isinstance(sync, Sync)
    assert sync.nonce
    assert isinstance(ack, Ack)
    assert of_kind(ReportReceived, effects) == []


def test_ping_of_a_dead_member_is_told_its_death_first() -> None:
    own = swim_knowing(2, 3)
    tell(own, record(3, DEAD))
    for _ in range(30):
        probe(own)  # Until nothing rides on datagrams by itself any more.
    effects = own.handle_message(node_id(3), address(3), Ping(1, b"r", []))
    (answer,) = of_kind(SendDatagram, effects)
    assert isinstance(answer.message, Ack)
    assert answer.message.updates == [record(3, DEAD)]
    assert of_kind(ReportReceived, effects) == []


def test_sync_is_answered_once_with_the_whole_list() -> None:
    own = swim_knowing(2, 3)
    asked = Sync(77, 0, b"r", [])
    (answer,) = of_kind(SendDatagram, own.handle_message(node_id(2), address(2), asked))
    assert isinstance(answer.message, Sync)
    assert (answer.message.nonce, answer.message.echo) == (0, 77)
    assert answer.message.updates == [record(1), record(2), record(3)]
    assert of_kind(SendDatagram, tell(own)) == []


def test_long_list_asks_for_the_answer_in_its_last_datagram_only() -> None:
    own = swim_knowing(*range(2, 60))
    sent = [effect.message for effect in of_kind(SendDatagram, own.contact(address(99)))]
    wanted = [message.nonce != 0 for message in sent if isinstance(message, Sync)]
    assert len(wanted) > 2
    assert wanted == [False] * (len(wanted) - 1) + [True]


def test_lists_are_compared_with_a_living_member_every_sync_period() -> None:
    own = swim_knowing(2, 3)
    tell(own, record(3, DEAD))
    effects = own.handle_timer(SYNC_TIMER)
    assert SetTimer(SYNC_TIMER, OPTIONS.sync_period_s) in effects
    assert [sent.address for sent in of_kind(SendDatagram, effects)] == [address(2)]


def test_beacon_of_a_stranger_starts_an_exchange_and_of_a_member_none() -> None:
    own = swim()
    beacon = Beacon(record(2), b"r")
    first = own.handle_message(node_id(2), address(2), beacon)
    assert changes(first) == []  # It may be a recording: only its answer counts.
    assert [sent.address for sent in of_kind(SendDatagram, first)] == [address(2)]
    answer = Sync(0, nonce_of(first), b"r", [record(2)])
    assert changes(own.handle_message(node_id(2), address(2), answer)) == [record(2)]
    assert of_kind(SendDatagram, own.handle_message(node_id(2), address(2), beacon)) == []


def test_beacon_in_the_name_of_another_is_ignored() -> None:
    own = swim()
    assert own.handle_message(node_id(3), address(3), Beacon(record(2), b"r")) == []
    assert node_id(2) not in own.members


def test_own_messages_are_ignored() -> None:
    own = swim_knowing(2)
    assert own.handle_message(node_id(1), address(1), Ping(1, b"r", [record(3)])) == []
    assert node_id(3) not in own.members


def test_reports_of_living_members_are_passed_on() -> None:
    own = swim_knowing(2)
    effects = own.handle_message(node_id(2), address(2), Ack(1, b"load", []))
    assert of_kind(ReportReceived, effects) == [ReportReceived(record(2), b"load")]


def test_successor_at_the_same_address_buries_its_predecessor() -> None:
    own = swim_knowing(2, 3)
    successor = changed(record(4), host=record(3).host)
    assert changes(tell(own, successor, sender=2)) == [successor]
    assert state_of(own, 3) is ALIVE  # Hearsay buries nobody.
    recorded = Ack(1, b"r", [])  # Of some former probe: it proves nothing either.
    own.handle_message(node_id(4), successor.address, recorded)
    assert state_of(own, 3) is ALIVE
    effects: list[MembershipEffect] = []
    for _ in range(3):
        sent, number = probe(own)
        if sent.address == successor.address:
            effects += own.handle_message(node_id(4), sent.address, Ack(number, b"r", []))
    assert record(3, DEAD) in changes(effects)
    assert state_of(own, 4) is ALIVE


def test_recordings_of_strangers_are_not_believed() -> None:
    own = swim_knowing(2)
    for recorded in (
        Sync(0, 0, b"r", [record(9), record(2, DEAD)]),
        Sync(0, 12345, b"r", [record(9), record(2, DEAD)]),
        Ping(1, b"r", [record(9), record(2, DEAD)]),
        Ack(1, b"r", [record(9), record(2, DEAD)]),
        Beacon(record(9), b"r"),
    ):
        effects = own.handle_message(node_id(9), address(9), recorded)
        assert changes(effects) == []
        assert of_kind(ReportReceived, effects) == []
    assert node_id(9) not in own.members
    assert state_of(own, 2) is ALIVE


def test_nothing_buries_this_node_but_its_own_declared_death() -> None:
    own = swim_knowing(2)
    squatter = changed(record(4), host=record(1).host)
    tell(own, squatter, sender=2)
    for _ in range(2):
        sent, number = probe(own)
        answer = Ack(number, b"r", [])
        effects = own.handle_message(node_id(4), sent.address, answer)
        assert of_kind(SelfDeclaredDead, effects) == []
    assert own.own.state is ALIVE


def test_leaver_tells_every_living_member_directly() -> None:
    own = swim_knowing(2, 3, 4)
    tell(own, record(4, DEAD))
    sent = own.leave()
    assert [effect.address for effect in of_kind(SendDatagram, sent)] == [address(2), address(3)]
    for effect in of_kind(SendDatagram, sent):
        assert isinstance(effect.message, Sync)
        assert effect.message.updates == [record(1, LEFT)]


def test_leaver_neither_refutes_nor_hears_of_its_death() -> None:
    own = swim_knowing(2)
    own.leave()
    assert of_kind(SelfDeclaredDead, tell(own, record(1, DEAD), record(1, SUSPECT, 3))) == []
    assert own.own == record(1, LEFT)


def test_unknown_timer_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="unknown timer"):
        swim().handle_timer("tea")
