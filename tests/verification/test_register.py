"""The quick judgement of one key, also against the search that trusts nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grid.verification.history import Kind, Loss, Operation, emptied, initial
from grid.verification.linearizability import Answer, search
from grid.verification.register import Register, last_read
from tests.verification.histories import delete, put, read, unknown, version
from tests.verification.test_linearizability import made, operations

NOTHING = initial("a", 1)


def test_read_of_the_last_or_of_a_concurrent_value_is_fresh() -> None:
    register = Register([NOTHING, put(1, 0, 1), put(2, 2, 5)])
    fresh = [read(None, 0, 1), read(1, 0.5, 2), read(1, 3, 4), read(2, 3, 4), read(2, 6, 7)]
    assert register.check(fresh).stale == []


def test_overwritten_value_is_stale_and_the_overwriting_write_is_blamed() -> None:
    writes = [put(1, 0, 1), put(2, 2, 3), put(3, 4, 5)]
    faults = Register([NOTHING, *writes]).check([read(1, 6, 7)])
    assert faults.blamed == writes[1:]
    assert faults.resurrected == []


def test_deleted_value_is_resurrected() -> None:
    late = read(1, 4, 5)
    faults = Register([NOTHING, put(1, 0, 1), delete(2, 3)]).check([late])
    assert (faults.stale, faults.resurrected) == ([late], [late])


def test_version_shows_what_time_cannot() -> None:
    writes = [put(1, 0, 5, version=version(1, 2)), put(2, 0, 6, version=version(1, 1))]
    register = Register([NOTHING, *writes])
    stale = read(2, 7, 8)
    assert register.check([read(1, 7, 8), stale]).stale == [stale]
    assert register.lost(last_read("a", 1, 1, 10)) == []
    assert register.lost(last_read("a", 1, 2, 10)) == writes[:1]


def test_excluded_write_can_be_seen_and_overwrites_nothing() -> None:
    writes = [put(1, 0, 1), put(2, 2, 3)]
    register = Register([NOTHING, *writes], excluded={writes[1]})
    assert register.check([read(2, 3, 4), read(1, 5, 6)]).stale == []


def test_absence_is_explained_by_any_delete() -> None:
    register = Register([NOTHING, put(1, 0, 1), delete(2, 3), put(2, 4, 9), unknown(delete(5, 6))])
    assert register.check([read(None, 3.5, 4), read(None, 10, 11)]).stale == []
    without = Register([NOTHING, put(1, 0, 1), delete(2, 3), put(2, 4, 5)])
    assert len(without.check([read(None, 6, 7)]).stale) == 1


def test_emptied_partition_explains_absence_and_forbids_the_old_value() -> None:
    writes = [NOTHING, put(1, 0, 1), emptied("a", Loss(1, 2.0, 5.0))]
    faults = Register(writes).check([read(None, 6, 7), read(1, 1.5, 3), read(1, 6, 7)])
    assert len(faults.resurrected) == len(faults.stale) == 1


def test_value_from_the_future_is_unexplained() -> None:
    early = read(1, 0, 1)
    assert Register([NOTHING, put(1, 2, 3)]).check([early]).unexplained == [early]


@given(operations)
def test_what_the_quick_judgement_finds_has_no_order(
    drawn: list[tuple[Kind, object, int, int, bool]],
) -> None:
    """It never accuses wrongly; the search may find more, for it sees all reads together."""
    history: list[Operation] = made(drawn)
    writes = [one for one in history if one.kind is not Kind.READ]
    faults = Register([NOTHING, *writes]).check([one for one in history if one.kind is Kind.READ])
    if faults.stale or faults.unexplained:
        assert search(None, history) is Answer.NOT_LINEAR


@given(operations, st.sampled_from([None, 0, 1, 2, 3, 4]))
def test_lost_writes_have_no_order_with_the_last_look(
    drawn: list[tuple[Kind, object, int, int, bool]], shown: object
) -> None:
    writes = [one for one in made(drawn) if one.kind is not Kind.READ]
    last = last_read("a", 1, shown, 100)
    lost = [one for one in Register([NOTHING, *writes]).lost(last) if one is not NOTHING]
    is_linear = search(None, [*writes, last]) is Answer.LINEAR
    known = {one.value for one in writes if one.kind is Kind.PUT} | {None}
    if shown in known:
        assert is_linear == (not lost and bool(Register([NOTHING, *writes]).explanations(last)))
