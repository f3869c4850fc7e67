"""Correct histories are clean; whatever is damaged in them is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grid.verification.checker import Checker, Quiet
from grid.verification.findings import Findings
from grid.verification.history import Kind, Loss, Operation
from tests.verification.histories import (
    Cluster,
    History,
    by_apply,
    correct_history,
    delete,
    increment,
    judged,
    put,
    read,
    refused,
    unknown,
    version,
)

seeds = st.integers(0, 2**32)


def sure_puts(history: History, *, key: object = None) -> list[Operation]:
    """The acknowledged puts of one key, or of all."""
    return [
        one
        for one in history.operations
        if one.kind is Kind.PUT and one.is_acknowledged and key in (None, one.key)
    ]


def shown_puts(history: History) -> list[Operation]:
    return [one for one in sure_puts(history) if history.values.get(one.key) == one.value]


def chosen(operations: list[Operation]) -> Operation:
    """Any of them; a history without one is of no use here."""
    assume(operations)
    return operations[len(operations) // 2]


def assert_clean(findings: Findings) -> None:
    assert findings.is_clean, (findings.counts(), findings.examples)
    assert findings.false_alarms == 0
    assert findings.lost_reported == findings.lost
    assert findings.search_gave_up == 0


# -- correct ------------------------------------------------------------------------------


@given(seeds)
def test_correct_history_is_clean(seed: int) -> None:
    findings = correct_history(seed, crashes=0).judge()
    assert_clean(findings)
    assert findings.lost == 0
    assert findings.search_skipped == 0


@given(seeds)
def test_history_with_reported_losses_is_clean_and_counts_them(seed: int) -> None:
    history = correct_history(seed, crashes=0.1)
    assert_clean(history.judge())


@given(seeds)
def test_rounds_of_one_history_are_each_clean(seed: int) -> None:
    cluster, checker = Cluster(Random(seed), crashes=0.05), Checker()
    rounds = [cluster.run(25) for _ in range(4)]
    for history in rounds:
        assert_clean(history.judge(checker))
    assert checker.totals.operations == sum(len(history.operations) for history in rounds)


def test_operations_and_acknowledged_writes_are_counted() -> None:
    findings = judged(put(1, 0, 1), unknown(put(2, 2, 3)), read(1, 2, 3), delete(4, 5), shows={})
    assert (findings.operations, findings.acknowledged) == (4, 2)


# -- damaged at random --------------------------------------------------------------------


@given(seeds, st.booleans())
def test_lost_write_is_found(seed: int, is_emptied: bool) -> None:
    history = correct_history(seed, crashes=0)
    victim = chosen(shown_puts(history))
    earlier = [one for one in sure_puts(history, key=victim.key) if one.end_s < victim.begin_s]
    if is_emptied or not earlier:
        deletes = [o for o in history.operations if o.kind is Kind.DELETE and o.key == victim.key]
        assume(all(one.done_s < victim.begin_s for one in deletes))
        del history.values[victim.key]
    else:
        history.values[victim.key] = earlier[0].value
    findings = history.judge()
    assert not findings.is_clean
    assert findings.lost_unreported >= 1
    assert findings.sync_lost >= victim.is_sync


@given(seeds)
def test_loss_that_is_denied_is_found(seed: int) -> None:
    history = Cluster(Random(seed)).run(60, ends_in_crash=True)
    before = history.judge()
    assume(before.lost)
    for write in history.survived:
        history.survived[write] = True
    findings = history.judge()
    assert findings.lost_unreported == before.lost
    assert not findings.is_clean


@given(seeds)
def test_false_alarm_is_counted_and_no_violation(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    history.survived[chosen(shown_puts(history))] = False
    findings = history.judge()
    assert findings.false_alarms == 1
    assert findings.is_clean


@given(seeds)
def test_stale_read_is_found(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    pairs = [
        (old, new)
        for new in sure_puts(history)
        for old in sure_puts(history, key=new.key)
        if old.end_s < new.begin_s
    ]
    assume(pairs)
    old, new = pairs[len(pairs) // 2]
    history.operations.append(read(old.value, new.end_s + 0.001, new.end_s + 1, key=new.key))
    findings = history.judge()
    assert findings.stale_reads >= 1
    assert findings.not_linearizable == 1
    assert not findings.is_clean


@given(seeds)
def test_resurrected_value_is_found(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    pairs = [
        (old, gone)
        for gone in history.operations
        for old in sure_puts(history, key=gone.key)
        if gone.kind is Kind.DELETE and gone.is_acknowledged and old.end_s < gone.begin_s
    ]
    assume(pairs)
    old, gone = pairs[len(pairs) // 2]
    history.operations.append(read(old.value, gone.end_s + 0.001, gone.end_s + 1, key=old.key))
    findings = history.judge()
    assert findings.resurrected >= 1
    assert findings.not_linearizable == 1
    assert not findings.is_clean


@given(seeds)
def test_versions_in_the_wrong_order_are_found(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    puts = sure_puts(history)
    pairs = [(old, new) for new in puts for old in puts if old.end_s < new.begin_s]
    assume(pairs)
    old, new = pairs[len(pairs) // 2]
    history = history.replaced(new, dataclasses.replace(new, version=old.version - 1))
    findings = history.judge()
    assert findings.reordered + findings.duplicated >= 1
    assert not findings.is_clean


@given(seeds)
def test_version_given_twice_is_found(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    puts = sure_puts(history)
    assume(len(puts) >= 2)
    first, second = puts[0], puts[1]
    history = history.replaced(second, dataclasses.replace(second, version=first.version))
    assert history.judge().duplicated >= 1


@given(seeds)
def test_second_owner_in_an_epoch_is_found(seed: int) -> None:
    history = correct_history(seed, crashes=0)
    puts = sure_puts(history)
    assume(len(puts) >= 2)
    history = history.replaced(puts[-1], dataclasses.replace(puts[-1], owner="another node"))
    assert history.judge().two_owners >= 1


@given(seeds, st.sampled_from([-1, 30]))
def test_wrong_counter_is_found(seed: int, by: int) -> None:
    history = correct_history(seed, crashes=0)
    total = history.values.get("n")
    assume(isinstance(total, int))
    assume(not any(o.key == "n" and not o.is_acknowledged for o in history.operations))
    assert isinstance(total, int)
    history.values["n"] = total + by
    findings = history.judge()
    assert (findings.sync_lost, findings.applied_twice) == ((1, 0) if by < 0 else (0, by))
    assert not findings.is_clean


# -- by hand ------------------------------------------------------------------------------


def test_write_that_another_may_have_followed_is_not_lost() -> None:
    assert judged(put(1, 0, 5), put(2, 1, 6), shows={"a": 1}).lost == 0
    assert judged(put(1, 0, 5), put(2, 1, 6), shows={"a": 2}).lost == 0
    assert judged(put(1, 0, 1), unknown(put(2, 2, 3)), shows={"a": 2}).lost == 0
    assert judged(put(1, 0, 1), unknown(delete(2, 3)), shows={}).lost == 0


def test_version_tells_which_of_two_concurrent_writes_is_lost() -> None:
    first = put(1, 0, 5, version=version(1, 1))
    second = put(2, 1, 6, version=version(1, 2))
    assert judged(first, second, shows={"a": 1}).lost_unreported == 1
    assert judged(first, second, shows={"a": 2}).lost == 0


def test_all_writes_that_followed_the_one_shown_are_lost() -> None:
    writes = [put(n, 2 * n, 2 * n + 1, version=version(1, n + 1)) for n in range(4)]
    answers = {write: write.value == 0 for write in writes}
    findings = judged(*writes, shows={"a": 0}, answers=answers)
    assert (findings.lost, findings.lost_reported, findings.sync_lost) == (3, 3, 0)
    assert findings.is_clean


def test_doubtful_writes_are_named_before_the_judgement() -> None:
    checker = Checker()
    kept, lost = put(1, 0, 1, version=version(1, 1)), put(2, 2, 3, version=version(1, 2))
    for write in (kept, lost):
        checker.record(write)
    assert checker.examine(Quiet(values={"a": 1}, begin_s=9.0)) == [lost]
    assert checker.visible() == [kept]


def test_reported_loss_of_a_sync_write_is_a_violation_unless_excused() -> None:
    write = put(1, 0, 1, is_sync=True, version=version(1, 1))
    findings = judged(write, shows={}, answers={write: False})
    assert (findings.lost_reported, findings.sync_lost, findings.is_clean) == (1, 1, False)
    excused = judged(write, shows={}, answers={write: False}, excused={1})
    assert (excused.sync_lost_excused, excused.is_clean) == (1, True)
    quiet = judged(write, shows={}, excused={1})
    assert (quiet.lost_unreported, quiet.is_clean) == (1, False)


def test_loss_of_a_partition_excuses_what_was_written_before_it_was_accepted() -> None:
    before = put(1, 0, 1, is_sync=True)
    lost = Loss(1, 2.0, 5.0)
    findings = judged(before, read(None, 6, 7), shows={}, losses=[lost])
    assert (findings.lost, findings.lost_with_partition) == (1, 1)
    assert findings.is_clean
    after = put(2, 6, 7, is_sync=True)
    assert judged(before, after, shows={"a": 2}, losses=[lost]).is_clean
    assert judged(before, after, shows={}, losses=[lost]).sync_lost == 1


def test_value_of_a_lost_partition_that_comes_back_is_found() -> None:
    before = put(1, 0, 1, is_sync=True)
    findings = judged(before, read(1, 6, 7), shows={}, losses=[Loss(1, 2.0, 5.0)])
    assert findings.resurrected == 1
    checker = Checker()
    checker.record(before)
    for losses in ([], [Loss(1, 12.0, 15.0)]):
        checker.examine(Quiet(values={"a": 1}, begin_s=10.0 * (len(losses) + 1), losses=losses))
        found = checker.settle({})
    assert found.resurrected == 1


def test_read_of_an_older_value_is_no_fault_once_the_newer_is_reported_lost() -> None:
    old, new = put(1, 0, 1, version=version(1, 1)), put(2, 2, 3, version=version(1, 2))
    history = (old, new, read(2, 3.5, 3.6), read(1, 4, 5), put(3, 6, 7, version=version(2, 1)))
    assert judged(*history, shows={"a": 3}, answers={new: False}).is_clean
    assert judged(*history, shows={"a": 3}, answers={new: True}).stale_reads == 1
    assert judged(*history, shows={"a": 3}).stale_reads == 1


def test_refused_or_unheard_of_values_are_impossible() -> None:
    assert judged(refused(put(1, 0, 1)), read(1, 2, 3), shows={}).impossible_reads == 1
    assert judged(put(1, 0, 1), read(7, 2, 3), shows={"a": 1}).impossible_reads == 1
    assert judged(put(1, 4, 5), read(1, 2, 3), shows={"a": 1}).impossible_reads == 1
    assert judged(shows={"a": 7}).impossible_reads == 1


def test_settled_write_is_still_guarded_and_its_forgotten_past_is_not_read_again() -> None:
    cases: list[tuple[dict[Hashable, Hashable], tuple[int, int]]] = [
        ({"a": 2}, (0, 0)),
        ({}, (1, 0)),
        ({"a": 1}, (1, 1)),
    ]
    for later, expected in cases:
        checker = Checker()
        for write in (put(1, 0, 1), put(2, 2, 3)):
            checker.record(write)
        checker.examine(Quiet(values={"a": 2}, begin_s=9.0))
        assert checker.settle({}).is_clean
        checker.examine(Quiet(values=later, begin_s=19.0))
        findings = checker.settle({})
        assert (findings.lost_unreported, findings.impossible_reads) == expected


def test_nothing_read_where_nobody_deleted_is_found() -> None:
    checker = Checker()
    checker.record(put(1, 0, 1))
    checker.examine(Quiet(values={"a": 1}, begin_s=9.0))
    checker.settle({})
    checker.record(read(None, 10, 11))
    checker.examine(Quiet(values={"a": 1}, begin_s=19.0))
    assert checker.settle({}).stale_reads == 1


def test_write_of_unknown_outcome_may_take_effect_in_a_later_round() -> None:
    checker = Checker()
    checker.record(put(1, 0, 1))
    checker.record(unknown(put(2, 2, 3)))
    checker.record(unknown(increment(None, 2, 3)))
    checker.examine(Quiet(values={"a": 1}, begin_s=9.0))
    assert checker.settle({}).is_clean
    checker.record(read(2, 12, 13))
    checker.examine(Quiet(values={"a": 2, "n": 1}, begin_s=19.0))
    assert checker.settle({}).is_clean


def test_loss_of_increments_is_reported_or_not() -> None:
    made = [increment(n, n, n + 0.5, version=version(1, n)) for n in (1, 2, 3)]
    assert judged(*made, shows={"n": 3}).is_clean
    findings = judged(*made, shows={"n": 1}, answers={made[1]: False, made[2]: False})
    assert (findings.lost, findings.lost_reported, findings.is_clean) == (2, 2, True)
    assert judged(*made, shows={"n": 1}, answers={made[2]: False}).lost_unreported == 1
    lost = judged(*made, shows={}, losses=[Loss(1, 4.0, 5.0)])
    assert (lost.lost_with_partition, lost.is_clean) == (3, True)


def test_lost_increment_is_asked_about_also_where_one_of_unknown_outcome_hides_it() -> None:
    lost, hiding = increment(1, 0, 1, version=version(1, 1)), unknown(increment(None, 0, 1))
    made = [lost, hiding, increment(1, 2, 3, version=version(2, 1), is_sync=True)]
    checker = Checker()
    for one in made:
        checker.record(one)
    assert lost in checker.examine(Quiet(values={"n": 2}, begin_s=9.0))
    assert checker.settle({lost: False}).is_clean
    assert judged(*made, shows={"n": 2}).duplicated == 1


def test_applies_count_with_the_increments_of_their_key_and_beside_them() -> None:
    applies = [by_apply(increment(2, 2, 3)), by_apply(increment(3, 4, 5))]
    made = [increment(1, 0, 1), *applies, by_apply(unknown(increment(None, 6, 7)))]
    findings = judged(*made, shows={"n": 4})
    assert (findings.applies, findings.applies_acknowledged, findings.is_clean) == (3, 2, True)
    assert judged(*made, shows={"n": 5}).applied_twice == 1
    assert judged(*made, shows={"n": 2}).lost_unreported == 1
    assert judged(*applies, increment(3, 6, 7), shows={"n": 3}).duplicated == 1


def test_examples_name_the_operation_and_are_few() -> None:
    reads = [read(7, n, n + 1) for n in range(100)]
    findings = judged(*reads, shows={})
    assert findings.impossible_reads == 100
    assert len(findings.examples) == 20
    assert findings.examples[0].startswith("nobody can have stored this: read 'a' = 7 by client 1")


def test_key_with_too_many_operations_is_not_searched() -> None:
    checker = Checker(operations_max=1)
    for operation in (put(1, 0, 1), read(1, 2, 3)):
        checker.record(operation)
    checker.examine(Quiet(values={"a": 1}, begin_s=9.0))
    assert checker.settle({}).search_skipped == 1


def test_the_last_value_with_two_writes_is_refused() -> None:
    checker = Checker()
    for write in (put(1, 0, 1), put(1, 2, 3)):
        checker.record(write)
    with pytest.raises(ValueError, match="written twice"):
        checker.examine(Quiet(values={"a": 1}, begin_s=9.0))
