"""One partition's next step, situation by situation."""

from __future__ import annotations

from collections.abc import Set

import pytest

from grid.partition.messages import Holding, HoldingRole
from grid.partition.steps import (
    Facts,
    Roles,
    Step,
    Targets,
    Wish,
    advance,
    fresh,
    loses_role,
    settle,
)
from grid.types import NodeId

from .samples import node

A, B, C, D = node(1), node(2), node(3), node(4)
ALL = frozenset((A, B, C, D))
EPOCH = 5


def primary(*complete: NodeId, sequence: int = 9, epoch: int = EPOCH) -> Holding:
    return Holding(0, epoch, sequence, sequence, HoldingRole.PRIMARY, [*complete])


def backup(sequence: int = 9, epoch: int = EPOCH) -> Holding:
    return Holding(0, epoch, sequence, sequence, HoldingRole.BACKUP)


FILLING = Holding(0, EPOCH, 3, 3, HoldingRole.FILLING)


def facts(
    roles: Roles,
    held: dict[NodeId, Holding],
    *,
    alive: Set[NodeId] = ALL,
    silent: Set[NodeId] = frozenset(),
    late: Set[NodeId] = frozenset(),
    has_backups: bool = True,
) -> Facts:
    return Facts(roles, EPOCH, held, alive, silent, alive - silent - late, has_backups)


def step(known: Facts, targets: Targets, takers: Set[NodeId] = ALL) -> Step:
    base = settle(known)
    assert base is not None
    return advance(known, base, targets, takers)


def test_synced_backup_of_a_dead_primary_is_promoted() -> None:
    known = facts(Roles(A, B, True), {B: backup()}, alive=ALL - {A})
    assert settle(known) == Roles(B)


def test_who_was_being_filled_goes_on_as_the_backup_of_the_promoted() -> None:
    known = facts(Roles(A, B, True, C), {B: backup(), C: FILLING}, alive=ALL - {A})
    assert settle(known) == Roles(B, C)


def test_incomplete_backup_is_never_promoted() -> None:
    known = facts(Roles(A, B, True), {B: FILLING}, alive=ALL - {A})
    assert settle(known) == Roles(None)


def test_complete_copy_is_promoted_although_the_table_has_not_called_it_synced_yet() -> None:
    known = facts(Roles(A, B, False), {B: backup()}, alive=ALL - {A})
    assert settle(known) == Roles(B)


def test_newest_of_several_complete_copies_is_promoted() -> None:
    held = {B: FILLING, C: backup(sequence=7), D: backup(sequence=8)}
    known = facts(Roles(A, B, True, C), held, alive=ALL - {A})
    assert settle(known) == Roles(D, B)


def test_copy_of_an_older_epoch_is_no_heir() -> None:
    known = facts(Roles(A), {C: backup(epoch=EPOCH - 1)}, alive=ALL - {A})
    assert settle(known) == Roles(None)


@pytest.mark.parametrize("roles", [Roles(A, B, True), Roles(A, B, False), Roles(A, C, False, B)])
def test_silent_holder_of_a_copy_is_waited_for(roles: Roles) -> None:
    known = facts(roles, {}, alive=ALL - {A}, silent={B})
    assert settle(known) is None


def test_old_primary_that_has_not_heard_of_its_handover_can_take_it_back() -> None:
    known = facts(Roles(A, B, True), {B: primary(epoch=EPOCH - 1)}, alive=ALL - {A}, late={B})
    assert settle(known) == Roles(B)


def test_dead_backup_and_dead_newcomer_lose_their_roles() -> None:
    known = facts(Roles(A, B, True, C), {A: primary(B)}, alive={A, D})
    assert settle(known) == Roles(A)


@pytest.mark.parametrize(
    "held",
    [
        {A: primary(), B: backup()},
        {A: primary(B), B: FILLING},
        {A: primary(B)},
        {B: FILLING},
    ],
)
def test_backup_that_broke_is_called_synced_no_more(held: dict[NodeId, Holding]) -> None:
    assert settle(facts(Roles(A, B, True), held)) == Roles(A, B, False)


@pytest.mark.parametrize(
    ("held", "silent", "late"),
    [
        ({A: primary(B), B: backup()}, frozenset[NodeId](), frozenset[NodeId]()),
        ({A: primary(B)}, frozenset([B]), frozenset[NodeId]()),
        ({A: primary(B)}, frozenset[NodeId](), frozenset([B])),
        ({A: primary(epoch=EPOCH - 1), B: backup()}, frozenset[NodeId](), frozenset([A])),
        ({B: backup()}, frozenset([A]), frozenset[NodeId]()),
    ],
)
def test_backup_that_nobody_denies_stays_synced(
    held: dict[NodeId, Holding], silent: Set[NodeId], late: Set[NodeId]
) -> None:
    known = facts(Roles(A, B, True), held, silent=silent, late=late)
    assert settle(known) == Roles(A, B, True)


def test_primary_by_a_table_that_nobody_else_has_seen_counts() -> None:
    known = facts(Roles(A, B, True), {A: primary(B), C: primary(epoch=EPOCH + 1)})
    assert settle(known) == Roles(C, B)


def test_missing_backup_is_named_first_of_all() -> None:
    known = facts(Roles(A), {A: primary()})
    assert step(known, Targets(A, B)).now == Roles(A, B)
    # The one that shall be primary: it needs a copy in any case.
    assert step(known, Targets(C, B)).now == Roles(A, C)
    assert step(known, Targets(C, B), ALL - {C}).now == Roles(A, B)
    assert step(known, Targets(C, B), {A}).now == Roles(A)


def test_backup_is_synced_when_both_sides_say_so_in_this_epoch() -> None:
    roles, targets = Roles(A, B), Targets(A, B)
    complete = Roles(A, B, True)
    assert step(facts(roles, {A: primary(B), B: backup()}), targets).now == complete
    for held in (
        {A: primary(), B: backup()},
        {A: primary(B), B: FILLING},
        {A: primary(B)},
        {A: primary(B, epoch=EPOCH - 1), B: backup()},
        {A: primary(B), B: backup(epoch=EPOCH - 1)},
    ):
        assert step(facts(roles, held), targets).now == roles


def test_backup_that_shall_be_elsewhere_stays_until_its_successor_is_complete() -> None:
    targets = Targets(A, C)
    held = {A: primary(B), B: backup()}
    assert step(facts(Roles(A, B, True), held), targets).now == Roles(A, B, True, C)
    held[C] = FILLING
    assert step(facts(Roles(A, B, True, C), held), targets).now == Roles(A, B, True, C)
    held = {A: primary(B, C), B: backup(), C: backup()}
    assert step(facts(Roles(A, B, True, C), held), targets).now == Roles(A, C, True)


def test_incomplete_backup_that_shall_be_elsewhere_is_replaced_unless_it_has_begun() -> None:
    known = facts(Roles(A, B), {A: primary()})
    assert step(known, Targets(A, C)).now == Roles(A, C)
    known = facts(Roles(A, B), {A: primary(), B: FILLING})
    assert step(known, Targets(A, C)).now == Roles(A, B)
    assert step(known, Targets(A, C, frozenset([B])), ALL - {B}).now == Roles(A, C)


def test_who_is_being_filled_is_the_backup_when_there_is_none() -> None:
    known = facts(Roles(A, None, False, D), {A: primary()})
    assert step(known, Targets(A, B)).now == Roles(A, D)


def test_primary_and_its_backup_change_places_by_a_handover() -> None:
    held = {A: primary(B), B: backup()}
    known = facts(Roles(A, B, True), held)
    expected = Step(Roles(A, B, True), Roles(A, B, True), Wish.HAND_OVER, Roles(B, A, True))
    assert step(known, Targets(B, A)) == expected
    moving_on = step(known, Targets(B, C))
    assert moving_on.then == Roles(B, A, True, C)


def test_primary_moves_to_a_third_node_when_that_is_complete() -> None:
    held = {A: primary(B), B: backup()}
    targets = Targets(C, B)
    begun = step(facts(Roles(A, B, True), held), targets)
    assert (begun.now, begun.wish) == (Roles(A, B, True, C), None)
    held = {A: primary(B, C), B: backup(), C: backup()}
    ready = step(facts(Roles(A, B, True, C), held), targets)
    assert (ready.wish, ready.then) == (Wish.HAND_OVER, Roles(C, B, True))
    assert ready.now == Roles(A, B, True, C)
    back = step(facts(Roles(A, B, True, C), held), Targets(C, A))
    assert back.then == Roles(C, A, True)


def test_nothing_is_handed_over_by_a_primary_that_serves_another_table() -> None:
    known = facts(Roles(A, B, True), {A: primary(B), B: backup()}, late={A})
    assert step(known, Targets(B, A)).wish is None


def test_nothing_is_handed_over_while_the_backup_is_broken() -> None:
    held = {A: primary(C), B: FILLING, C: backup()}
    known = facts(Roles(A, B, True, C), held)
    handed = step(known, Targets(C, B))
    assert (handed.wish, handed.now.is_synced) == (None, False)


def test_partition_that_was_never_written_needs_no_copy() -> None:
    virgin = {A: primary(sequence=0)}
    given = step(facts(Roles(A), virgin), Targets(B, C))
    assert given == Step(Roles(A), Roles(A), Wish.GIVE_UP, Roles(B, C))
    # It is protected all the time if it was before.
    held = {A: primary(C, sequence=0), C: backup(sequence=0)}
    given = step(facts(Roles(A, C, True), held), Targets(B, D))
    assert given.then == Roles(B, C, True, D)
    held = {A: primary(B, sequence=0), B: backup(sequence=0)}
    swapped = step(facts(Roles(A, B, True), held), Targets(B, A))
    assert (swapped.wish, swapped.then) == (Wish.HAND_OVER, Roles(B, A, True))


def test_partition_that_was_written_once_is_copied_although_it_is_empty() -> None:
    held = {A: Holding(0, EPOCH, 0, 4, HoldingRole.PRIMARY)}
    assert step(facts(Roles(A), held), Targets(B, None), {B}).wish is None


def test_without_backups_a_partition_moves_by_handover_as_well() -> None:
    targets = Targets(B, None)
    known = facts(Roles(A), {A: primary()}, has_backups=False)
    assert step(known, targets).now == Roles(A, None, False, B)
    held = {A: primary(B), B: backup()}
    known = facts(Roles(A, None, False, B), held, has_backups=False)
    assert step(known, targets).then == Roles(B)


def test_without_backups_a_complete_incoming_copy_is_promoted_alone() -> None:
    known = facts(Roles(A, None, False, B), {B: backup()}, alive=ALL - {A}, has_backups=False)
    assert settle(known) == Roles(B)


def test_leaver_s_backup_is_let_go_of_only_when_nobody_else_can_have_it() -> None:
    held = {A: primary(B), B: backup()}
    known = facts(Roles(A, B, True), held)
    leaving = frozenset([B])
    assert step(known, Targets(A, C, leaving)).now == Roles(A, B, True, C)
    assert step(known, Targets(A, None, leaving)).now == Roles(A)


def test_leaver_hands_over_to_the_only_other_node() -> None:
    known = facts(Roles(A, B, True), {A: primary(B), B: backup()})
    assert step(known, Targets(B, None, frozenset([A]))).then == Roles(B)


def test_incoming_node_that_is_not_needed_any_more_is_dropped() -> None:
    known = facts(Roles(A, B, True, C), {A: primary(B), B: backup(), C: FILLING})
    assert step(known, Targets(A, B)).now == Roles(A, B, True)


def test_lost_partition_stays_lost() -> None:
    assert step(facts(Roles(None), {}), Targets(None, None)).now == Roles(None)


def test_partition_begins_anew_where_it_shall_be_or_at_the_coordinator() -> None:
    assert fresh(Targets(B, C), ALL, A) == Roles(B, C)
    assert fresh(Targets(B, C), {A, C}, A) == Roles(A, C)


def test_epoch_is_needed_for_what_is_lost_and_not_for_what_is_gained() -> None:
    assert not loses_role(Roles(A), Roles(A, B))
    assert not loses_role(Roles(A, B), Roles(A, B, True, C))
    assert not loses_role(Roles(A, B, True), Roles(A, B, False))
    assert loses_role(Roles(A, B, True, C), Roles(A, B, True))
    assert loses_role(Roles(A, B, True, C), Roles(A, C, True))
    assert loses_role(Roles(A, B, True), Roles(B, A, True))
    assert loses_role(Roles(A), Roles(None))
