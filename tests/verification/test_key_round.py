"""One key in one round: what is asked, what is judged, what is remembered."""

from __future__ import annotations

from grid.verification.findings import Findings
from grid.verification.history import Disruption, Loss, Operation, initial
from grid.verification.key_round import KeyRound
from tests.verification.histories import delete, put, read, unknown, version

NOTHING = initial("a", 1)


def key_round(
    operations: list[Operation],
    shown: object,
    *,
    losses: tuple[Loss, ...] = (),
    disruptions: tuple[Disruption, ...] = (),
) -> KeyRound:
    return KeyRound([NOTHING], operations, shown, 100.0, losses, disruptions, steps_max=1_000)


def findings_of(judged: KeyRound, answers: dict[Operation, bool] | None = None) -> Findings:
    findings = Findings()
    judged.judge(answers or {}, frozenset(), findings)
    return findings


def test_nothing_is_asked_about_a_history_in_order() -> None:
    assert key_round([put(1, 0, 1), read(1, 2, 3), delete(4, 5)], None).doubted() == []


def test_all_writes_are_asked_about_when_only_the_search_finds_no_order() -> None:
    writes = [put(1, 0, 9, version=version(1, 1)), put(2, 0, 9, version=version(1, 2))]
    reads = [read(1, 1, 2), read(2, 3, 4), read(1, 5, 6), read(2, 7, 8)]
    judged = key_round([*writes, *reads], 2)
    assert judged.doubted() == writes
    assert findings_of(judged).not_linearizable == 1


def test_async_write_under_way_while_a_node_dies_is_not_searched() -> None:
    seen_and_gone = [put(1, 0, 9), read(1, 1, 2), read(None, 3, 4)]
    assert findings_of(key_round(seen_and_gone, 1)).not_linearizable == 1
    spared = findings_of(key_round(seen_and_gone, 1, disruptions=(Disruption(2.5, 2.5),)))
    assert (spared.search_skipped, spared.is_clean) == (1, True)


def test_what_is_shown_and_what_may_still_come_is_remembered() -> None:
    kept, may_come = put(1, 0, 1), unknown(put(2, 2, 3))
    judged = key_round([kept, may_come], 1)
    findings_of(judged)
    assert judged.to_remember() is kept
    assert judged.still_open() == [may_come]


def test_wrong_value_is_a_fault_once() -> None:
    judged = key_round([put(1, 0, 1)], 9)
    assert findings_of(judged).impossible_reads == 1
    remembered = judged.to_remember()
    again = KeyRound([remembered], [read(9, 200, 201)], 9, 300.0, (), (), steps_max=100)
    assert findings_of(again).is_clean


def test_lost_partition_is_remembered_as_absence() -> None:
    judged = key_round([put(1, 0, 1)], None, losses=(Loss(1, 2.0, 3.0),))
    assert findings_of(judged).lost_with_partition == 1
    assert judged.to_remember().value is None
