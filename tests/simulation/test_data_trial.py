"""Whole clusters under faults: clean for many seeds, violated when something is broken on purpose.

``grid sim --data --seeds N`` runs more seeds; a seed that fails comes into `FAILED_ONCE`.
"""

from __future__ import annotations

from itertools import count

import pytest

from grid.client.processing.entry_processing import Applying, Entry
from grid.client.requests.core import MakeRequest
from grid.replication import receiving
from grid.simulation.data_trial import DataOutcome, DataPlan, DataTrial
from grid.storage.applying import Admit
from grid.storage.applying import apply as really_apply
from grid.storage.changes import AnyChange, Change
from grid.storage.messages import Get
from grid.storage.partition import Partition, Table
from grid.storage.results import ClientResults

SEEDS = range(40)
FAILED_ONCE = (
    DataPlan(seed=1000, double_faults=0.5),
    DataPlan(seed=1001, double_faults=0.5),
    DataPlan(seed=1002, double_faults=0.5),
    DataPlan(seed=1023, double_faults=0.5),
    DataPlan(seed=1036, double_faults=0.5),
    DataPlan(seed=1064, double_faults=0.5),
)
"""A new primary of a partition that nobody had written began behind its backup; reads that had
failed were judged as if they had seen nothing."""


def run(plan: DataPlan) -> DataOutcome:
    return DataTrial(plan).run()


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_of_faults_do_no_harm_that_is_not_reported(seed: int) -> None:
    outcome = run(DataPlan(seed=seed, minutes=10.0))
    assert outcome.is_clean, outcome.document()
    assert outcome.findings.acknowledged > 5_000
    assert outcome.findings.applies_acknowledged > 500
    assert sum(outcome.faults.values()) > 20


@pytest.mark.parametrize("plan", FAILED_ONCE, ids=lambda plan: f"{plan.nodes}-{plan.seed}")
def test_seed_that_once_failed_is_clean(plan: DataPlan) -> None:
    outcome = run(plan)
    assert outcome.is_clean, outcome.document()


def test_seed_decides_everything() -> None:
    first, again = (run(DataPlan(seed=3, minutes=1.0)) for _ in range(2))
    assert first.trace_hash == again.trace_hash
    assert first.document() == again.document()


# -- the trial finds what is broken on purpose ------------------------------------------------


def test_change_that_a_copy_swallows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()

    def swallow(change: AnyChange, admit: Admit, now_s: float) -> None:
        if isinstance(change, Change) and next(numbers) % 50 == 0:
            held = admit(change.partition, change.epoch, change.sequence - 1)
            if held is not None:
                held.sequence = change.sequence
            return
        really_apply(change, admit, now_s)

    monkeypatch.setattr(receiving, "apply", swallow)
    outcome = run(DataPlan(seed=1, minutes=2.0))
    assert outcome.unequal_copies or outcome.findings.sync_lost
    assert not outcome.is_clean


def test_loss_that_is_denied_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Partition, "has_survived", lambda *_: True)
    outcome = run(DataPlan(seed=30))
    assert outcome.findings.lost_unreported > 0
    assert not outcome.is_clean


def test_entry_that_comes_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()
    really_remove = Table.remove

    def forget_to_remove(table: Table, key: bytes) -> None:
        if next(numbers) % 20:
            really_remove(table, key)

    monkeypatch.setattr(Table, "remove", forget_to_remove)
    outcome = run(DataPlan(seed=1, minutes=2.0))
    assert outcome.findings.stale_reads + outcome.findings.lost_unreported > 0
    assert not outcome.is_clean


def test_apply_that_does_not_ask_whether_it_was_done_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(self: Applying, entry: Entry) -> MakeRequest:
        partition_id, key, _ = entry
        return lambda request, epoch: Get(request, "m", partition_id, epoch, key)

    monkeypatch.setattr(Applying, "_looking", look)
    outcome = run(DataPlan(seed=1, minutes=2.0))
    assert outcome.findings.duplicated > 0
    assert not outcome.is_clean


def test_apply_that_is_done_again_because_its_result_was_not_kept_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ClientResults, "add", lambda *_: None)
    outcome = run(DataPlan(seed=1, minutes=2.0))
    assert outcome.findings.applied_twice > 0
    assert not outcome.is_clean
