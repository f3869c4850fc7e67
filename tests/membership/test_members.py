"""The member list, and which claim about a member wins."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.membership.members import GONE_MEMBERS_MAX, MEMBERS_MAX, MemberList, wins
from grid.membership.messages import MemberState

from .samples import ALIVE, DEAD, LEFT, SUSPECT, changed, node_id, record

claims = st.tuples(st.sampled_from(MemberState), st.integers(0, 3))
lasting = settings(derandomize=True, deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("claim", "known", "expected"),
    [
        ((SUSPECT, 1), (ALIVE, 1), True),
        ((SUSPECT, 0), (ALIVE, 1), False),
        ((SUSPECT, 1), (SUSPECT, 1), False),
        ((SUSPECT, 2), (SUSPECT, 1), True),
        ((ALIVE, 1), (SUSPECT, 1), False),
        ((ALIVE, 2), (SUSPECT, 1), True),
        ((ALIVE, 1), (ALIVE, 1), False),
        ((ALIVE, 2), (ALIVE, 1), True),
        ((DEAD, 0), (ALIVE, 9), True),
        ((LEFT, 0), (SUSPECT, 9), True),
        ((ALIVE, 9), (DEAD, 0), False),
        ((SUSPECT, 9), (LEFT, 0), False),
        ((LEFT, 9), (DEAD, 0), False),
    ],
)
def test_claim_wins_as_the_paper_says(
    claim: tuple[MemberState, int], known: tuple[MemberState, int], expected: bool
) -> None:
    assert wins(record(2, *claim), record(2, *known)) is expected


@lasting
@given(st.lists(claims, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_members_that_heard_the_same_in_another_order_agree(heard, random) -> None:
    shuffled = list(heard)
    random.shuffle(shuffled)
    beliefs = []
    for order in (heard, shuffled):
        members = MemberList(record(1))
        for claim in order:
            members.merge(record(2, *claim))
        belief = members.get(node_id(2))
        assert belief is not None
        # Whether a gone one died or left is told by whoever was heard first.
        beliefs.append("gone" if belief.state.is_gone else (belief.state, belief.incarnation))
    assert beliefs[0] == beliefs[1]


@lasting
@given(claims, claims)
def test_no_two_claims_beat_each_other(one: tuple[MemberState, int], other) -> None:
    both_gone = one[0].is_gone and other[0].is_gone
    first, second = record(2, *one), record(2, *other)
    assert not (wins(first, second) and wins(second, first))
    same = (first.state, first.incarnation) == (second.state, second.incarnation)
    assert wins(first, second) or wins(second, first) or same or both_gone


def test_merge_returns_what_was_replaced() -> None:
    members = MemberList(record(1))
    newcomer, suspected = record(2), record(2, SUSPECT)
    assert members.merge(newcomer) is newcomer
    assert members.merge(newcomer) is None
    assert members.merge(suspected) is newcomer
    assert members.get(node_id(2)) is suspected


def test_living_are_alive_and_suspect_members_by_boot_id() -> None:
    members = MemberList(record(3))
    for claim in (record(4, SUSPECT), record(1), record(2, DEAD), record(5, LEFT)):
        members.merge(claim)
    assert [member.name for member in members.living()] == ["n1", "n3", "n4"]
    assert len(list(members)) == 5
    assert node_id(2) in members


def test_own_record_is_replaced_without_a_contest() -> None:
    own = record(1, incarnation=5)
    members = MemberList(own)
    members.replace_own(changed(own, incarnation=2))
    kept = members.get(node_id(1))
    assert kept is not None
    assert kept.incarnation == 2


def test_longest_known_gone_member_is_forgotten_beyond_the_bound() -> None:
    members = MemberList(record(1))
    for number in range(2, GONE_MEMBERS_MAX + 3):
        members.merge(record(number, DEAD))
    assert node_id(2) not in members
    assert node_id(3) in members
    assert node_id(1) in members
    assert len(list(members)) == GONE_MEMBERS_MAX + 1


def test_full_list_refuses_a_newcomer_and_keeps_learning_of_the_known(monkeypatch) -> None:
    monkeypatch.setattr("grid.membership.members.MEMBERS_MAX", 3)
    monkeypatch.setattr("grid.membership.members.GONE_MEMBERS_MAX", 2)
    assert (MEMBERS_MAX, GONE_MEMBERS_MAX) == (5_000, 1_000)
    members = MemberList(record(1))
    accepted = [number for number in range(2, 9) if members.merge(record(number))]
    assert accepted == [2, 3]
    assert members.merge(record(3, SUSPECT)) is not None
    assert node_id(4) not in members
