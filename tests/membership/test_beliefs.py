"""What a node believes of every member, and what follows when that changes."""

from __future__ import annotations

import pytest

from grid.membership.beliefs import SUSPICION_TIMER, Beliefs
from grid.membership.local_health import LocalHealth
from grid.membership.messages import MemberRecord, MemberState
from grid.types import INFO, WARNING, LogLine, SetTimer

from .samples import (
    ALIVE,
    DEAD,
    LEFT,
    OPTIONS,
    SUSPECT,
    Clock,
    changed,
    changes,
    delay_of,
    node_id,
    of_kind,
    record,
)

OWN = 1


class Believer:
    """Beliefs with their clock and health."""

    def __init__(self, *knows: int, choose_host=None) -> None:
        self.clock, self.health = Clock(), LocalHealth()
        self.beliefs = Beliefs(record(OWN), OPTIONS, self.clock, self.health, choose_host)
        self.learn = self.beliefs.learn
        for number in knows:
            self.learn(record(number))
        while self.beliefs.take_updates():
            pass
        self.beliefs.arrivals.clear()

    def state(self, number: int) -> MemberState | None:
        known = self.beliefs.members.get(node_id(number))
        return None if known is None else known.state

    def told(self) -> list[MemberRecord]:
        return self.beliefs.take_updates()


def timer(number: int) -> tuple[str, bytes]:
    return (SUSPICION_TIMER, node_id(number))


# -- gossip ---------------------------------------------------------------------------------------


def test_newcomer_is_announced_told_on_and_noted_for_the_prober() -> None:
    tested = Believer()
    effects = tested.learn(record(2))
    assert changes(effects) == [record(2)]
    (line,) = of_kind(LogLine, effects)
    assert (line.level, line.has_event) == (INFO, True)
    assert line.text.startswith("joined member=n2 ")
    assert tested.told() == [record(2)]
    assert tested.beliefs.arrivals == [node_id(2)]


def test_old_news_changes_nothing_and_is_not_told_again() -> None:
    tested = Believer(2)
    assert tested.learn(record(2)) == []
    assert tested.told() == []
    assert tested.beliefs.arrivals == []


@pytest.mark.parametrize("state", [DEAD, LEFT])
def test_end_of_a_member_is_final_whoever_says_alive_afterwards(state: MemberState) -> None:
    tested = Believer(2)
    assert changes(tested.learn(record(2, state))) == [record(2, state)]
    for claim in (record(2, ALIVE, 99), record(2, SUSPECT, 99, by=3), record(2, DEAD, 99)):
        assert tested.learn(claim) == []
    assert tested.state(2) is state


@pytest.mark.parametrize("state", [DEAD, LEFT])
def test_end_of_a_stranger_changes_nothing(state: MemberState) -> None:
    tested = Believer()
    assert tested.learn(record(9, state)) == []
    assert tested.state(9) is None
    assert tested.told() == []


def test_higher_incarnation_of_the_living_is_told_on_but_no_news_to_people() -> None:
    tested = Believer(2)
    assert tested.learn(record(2, ALIVE, 3)) == []
    assert tested.told() == [record(2, ALIVE, 3)]


# -- suspicion ------------------------------------------------------------------------------------


def test_suspicion_heard_from_others_has_its_deadline_and_names_the_accuser() -> None:
    tested = Believer(2, 3)
    effects = tested.learn(record(3, SUSPECT, by=2))
    assert delay_of(timer(3), effects) == OPTIONS.suspicion_max_s
    (line,) = of_kind(LogLine, effects)
    assert line.level == WARNING
    assert line.text.startswith("suspected member=n3 ")
    assert line.text.endswith(" accuser=n2")
    assert tested.told() == [record(3, SUSPECT, by=2)]


def test_own_suspicion_says_so() -> None:
    tested = Believer(2)
    effects = tested.beliefs.suspect(node_id(2))
    assert changes(effects) == [record(2, SUSPECT, by=OWN)]
    assert of_kind(LogLine, effects)[0].text.endswith(" accuser=n1")


def test_suspicion_by_an_unknown_accuser_names_its_boot_id() -> None:
    tested = Believer(2)
    (line,) = of_kind(LogLine, tested.learn(record(2, SUSPECT, by=77)))
    assert line.text.endswith(" accuser=00000000")


def test_death_names_the_accuser_if_there_was_one() -> None:
    tested = Believer(2, 3)
    tested.learn(record(2, SUSPECT, by=3))
    (suspected_before,) = of_kind(LogLine, tested.learn(record(2, DEAD)))
    assert suspected_before.text.startswith("dead member=n2 ")
    assert suspected_before.text.endswith(" accuser=n3")
    (proved,) = of_kind(LogLine, tested.beliefs.declare_dead(node_id(3)))
    assert (proved.level, "accuser" in proved.text) == (WARNING, False)


def test_own_failed_probe_confirms_the_suspicion_of_another() -> None:
    tested = Believer(2, 3, 4, 5, 6)
    tested.learn(record(6, SUSPECT, by=2))
    effects = tested.beliefs.suspect(node_id(6))
    assert changes(effects) == []
    assert delay_of(timer(6), effects) == pytest.approx(6.5)
    assert tested.told() == [record(6, SUSPECT, by=2), record(6, SUSPECT, by=OWN)]
    assert tested.beliefs.suspect(node_id(6)) == []


def test_independent_suspicions_shorten_the_wait_and_all_are_told_on() -> None:
    tested = Believer(2, 3, 4, 5, 6)
    delays = [delay_of(timer(6), tested.learn(record(6, SUSPECT, by=by))) for by in (2, 3, 4, OWN)]
    assert delays == pytest.approx([10.0, 6.5, 4.45, 3.0], abs=0.02)
    assert [update.accuser[-1] for update in tested.told()] == [2, 3, 4, OWN]
    assert tested.learn(record(6, SUSPECT, by=5)) == []


@pytest.mark.parametrize("subject", [OWN, 9])
def test_nobody_suspects_itself_or_a_stranger(subject: int) -> None:
    tested = Believer(2)
    if subject == 9:
        assert tested.beliefs.suspect(node_id(subject)) == []
    assert tested.beliefs.declare_dead(node_id(subject)) == []
    assert tested.beliefs.own == record(OWN)


def test_time_to_object_is_over_after_the_full_wait_only() -> None:
    tested = Believer(2)
    tested.beliefs.suspect(node_id(2))
    tested.clock.now_s += 9.9
    assert tested.beliefs.suspicion_expired(node_id(2)) == []
    tested.clock.now_s += 0.1
    assert changes(tested.beliefs.suspicion_expired(node_id(2))) == [record(2, DEAD)]
    assert tested.beliefs.suspicion_expired(node_id(2)) == []
    assert tested.told() == [record(2, DEAD)]


@pytest.mark.parametrize("state", [ALIVE, DEAD, LEFT])
def test_timer_of_a_suspicion_that_has_ended_kills_nobody(state: MemberState) -> None:
    tested = Believer(2, 3)
    tested.beliefs.suspect(node_id(2))
    tested.learn(record(2, state, 1))
    tested.clock.now_s += 99
    assert tested.beliefs.suspicion_expired(node_id(2)) == []


def test_deadline_of_an_old_suspicion_does_not_end_a_newer_one() -> None:
    tested = Believer(2, 3)
    tested.beliefs.suspect(node_id(2))
    tested.clock.now_s += 8
    tested.learn(record(2, ALIVE, 1))
    tested.learn(record(2, SUSPECT, 1, by=3))
    tested.clock.now_s += 2
    assert tested.beliefs.suspicion_expired(node_id(2)) == []
    assert tested.state(2) is SUSPECT


def test_refutation_is_announced_and_told_on_instead_of_the_accusations() -> None:
    tested = Believer(2, 3)
    tested.beliefs.suspect(node_id(2))
    effects = tested.learn(record(2, ALIVE, 1))
    assert changes(effects) == [record(2, ALIVE, 1)]
    assert of_kind(LogLine, effects)[0].text.startswith("alive again member=n2 ")
    assert tested.told() == [record(2, ALIVE, 1)]


def test_after_a_stall_every_suspicion_starts_its_time_anew() -> None:
    tested = Believer(2, 3, 4)
    tested.beliefs.suspect(node_id(2))
    tested.learn(record(3, SUSPECT, by=2))
    tested.clock.now_s += 60
    anew = tested.beliefs.restart_suspicions()
    assert anew == [SetTimer(timer(2), 10.0), SetTimer(timer(3), 10.0)]
    assert tested.beliefs.suspicion_expired(node_id(2)) == []
    tested.clock.now_s += 10
    assert tested.beliefs.suspicion_expired(node_id(2)) != []


# -- about oneself --------------------------------------------------------------------------------


@pytest.mark.parametrize("accused_at", [0, 1, 4])
def test_suspicion_of_oneself_is_refuted_by_a_higher_incarnation(accused_at: int) -> None:
    tested = Believer(2)
    assert tested.learn(record(OWN, SUSPECT, accused_at, by=2)) == []
    assert tested.beliefs.own == record(OWN, ALIVE, accused_at + 1)
    assert tested.beliefs.members.get(node_id(OWN)) == tested.beliefs.own
    assert tested.told() == [tested.beliefs.own]
    assert tested.health.score == 1


def test_what_is_refuted_already_is_ignored() -> None:
    tested = Believer(2, 3)
    for by in (2, 3, 2):
        tested.learn(record(OWN, SUSPECT, 4, by=by))
    tested.learn(record(OWN, ALIVE, 9))
    assert tested.beliefs.own.incarnation == 5
    assert tested.health.score == 1


@pytest.mark.parametrize("state", [DEAD, LEFT])
def test_gossip_of_its_own_end_changes_nothing(state: MemberState) -> None:
    tested = Believer(2)
    assert tested.learn(record(OWN, state, 7)) == []
    assert tested.beliefs.own == record(OWN)


def test_leaver_says_so_and_refutes_nothing_any_more() -> None:
    tested = Believer(2)
    tested.beliefs.leave()
    tested.learn(record(OWN, SUSPECT, 3, by=2))
    assert tested.beliefs.own == record(OWN, LEFT)
    assert tested.told() == [record(OWN, LEFT)]


def test_new_addresses_are_told_with_a_higher_incarnation() -> None:
    tested = Believer(2)
    tested.beliefs.readdress(("10.9.9.9", "10.0.0.2"))
    own = tested.beliefs.own
    assert (own.hosts, own.incarnation) == (("10.9.9.9", "10.0.0.2"), 1)
    assert tested.told() == [own]
    assert tested.beliefs.members.living_at(own.address) == [node_id(OWN)]
    assert tested.beliefs.members.living_at(record(OWN).address) == []


# -- lists ----------------------------------------------------------------------------------------


def test_death_in_a_list_is_a_suspicion_that_the_subject_can_refute() -> None:
    tested = Believer(2, 3)
    effects = tested.beliefs.learn_list([record(3, DEAD, 5)], node_id(2))
    assert changes(effects) == [record(3, SUSPECT, by=2)]
    assert delay_of(timer(3), effects) == 10.0
    tested.learn(record(3, ALIVE, 1))
    assert tested.state(3) is ALIVE


def test_deaths_in_the_lists_of_several_confirm_each_other() -> None:
    tested = Believer(2, 3, 4, 5, 6)
    delays = [
        delay_of(timer(6), tested.beliefs.learn_list([record(6, DEAD)], node_id(by)))
        for by in (2, 3, 4)
    ]
    assert delays == pytest.approx([10.0, 6.5, 4.45], abs=0.02)


def test_death_of_a_stranger_or_of_somebody_gone_in_a_list_is_ignored() -> None:
    tested = Believer(2, 3)
    tested.learn(record(3, DEAD))
    assert tested.beliefs.learn_list([record(9, DEAD), record(3, DEAD)], node_id(2)) == []
    assert tested.state(9) is None


def test_list_never_revives_the_dead() -> None:
    tested = Believer(2, 3)
    tested.learn(record(3, DEAD))
    assert tested.beliefs.learn_list([record(3, ALIVE, 99)], node_id(2)) == []
    assert tested.state(3) is DEAD


def test_leave_in_a_list_is_believed() -> None:
    tested = Believer(2, 3)
    assert changes(tested.beliefs.learn_list([record(3, LEFT)], node_id(2))) == [record(3, LEFT)]


def test_suspicion_of_oneself_in_a_list_is_refuted() -> None:
    tested = Believer(2)
    tested.beliefs.learn_list([record(OWN, SUSPECT, by=2)], node_id(2))
    assert tested.beliefs.own.incarnation == 1


def test_newcomer_to_the_cluster_does_not_tell_on_what_it_was_just_told() -> None:
    joining, settled = Believer(), Believer(2)
    for tested in (joining, settled):
        tested.beliefs.learn_list([record(3), record(4)], node_id(3))
    assert joining.told() == []
    assert settled.told() == [record(3), record(4)]
    assert joining.beliefs.arrivals == [node_id(3), node_id(4)]


# -- addresses ------------------------------------------------------------------------------------


def test_successor_that_has_proved_itself_buries_its_predecessors() -> None:
    tested = Believer(2, 3)
    tested.learn(changed(record(4), hosts=record(3).hosts))
    assert tested.state(3) is ALIVE, "hearsay buries nobody"
    effects = tested.beliefs.bury_predecessors(node_id(4))
    assert changes(effects) == [record(3, DEAD)]
    assert tested.beliefs.bury_predecessors(node_id(4)) == []
    assert tested.beliefs.bury_predecessors(node_id(99)) == []


def test_nobody_buries_this_node_by_claiming_its_address() -> None:
    tested = Believer(2)
    tested.learn(changed(record(4), hosts=record(OWN).hosts))
    assert tested.beliefs.bury_predecessors(node_id(4)) == []
    assert tested.beliefs.own.state is ALIVE


def test_address_to_use_comes_first() -> None:
    hosts = ("10.0.0.5", "192.168.7.5", "172.16.0.5")
    tested = Believer(choose_host=lambda offered: offered[1])
    tested.learn(changed(record(5), hosts=hosts))
    known = tested.beliefs.members.get(node_id(5))
    assert known is not None
    assert known.hosts == ("192.168.7.5", "10.0.0.5", "172.16.0.5")


def test_single_address_is_not_chosen_among() -> None:
    def refuse(offered: tuple[str, ...]) -> str:
        raise AssertionError("there is no choice")

    assert changes(Believer(choose_host=refuse).learn(record(5))) == [record(5)]
