"""Whole clusters with clients under faults: clean for many seeds, violated when something is broken.

``grid sim --data --seeds N`` runs more seeds; a seed that fails comes into `FAILED_ONCE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from grid.replication.channel import Channel
from grid.replication.primaries import Primaries
from grid.replication.receiving import Copies, Sender
from grid.replication.replicator import Replicator
from grid.replication.messages import Parcel, Receipt
from grid.simulation.data_trial import DataOutcome, DataPlan, DataTrial
from grid.storage.partition import Partition

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
    outcome = run(DataPlan(seed=seed))
    assert outcome.is_clean, outcome.document()
    assert outcome.findings.acknowledged > 1_000
    assert sum(outcome.faults.values()) > 10


@pytest.mark.parametrize("plan", FAILED_ONCE, ids=lambda plan: f"{plan.nodes}-{plan.seed}")
def test_seed_that_once_failed_is_clean(plan: DataPlan) -> None:
    outcome = run(plan)
    assert outcome.is_clean, outcome.document()
