"""Samples of this machine's load are percentages that can be sent."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from grid.supervisor.cpu_quota import Quota
from grid.supervisor.load import LoadSampler
from grid.wire.catalog import decode_supervisor_to_network, encode
from grid.wire.family import LoadSample


def test_sample_is_what_psutil_says(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.0, 12.5, 80.0])
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: next(figures))
    sampler = LoadSampler()
    assert [sampler.sample([], 1.0).cpu_percent for _ in range(2)] == [12.5, 80.0]


def test_sample_of_this_machine_is_in_percent_and_can_be_sent() -> None:
    sample = LoadSampler().sample([os.getpid()], 1.0)
    assert 0 <= sample.cpu_percent <= 100
    assert 0 < sample.memory_percent <= 100
    assert 0 <= sample.free_cores <= (psutil.cpu_count() or 1)
    assert decode_supervisor_to_network(encode(sample)) == sample
    assert isinstance(sample, LoadSample)


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores, of which half are busy."""
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: 50.0)
    monkeypatch.setattr("psutil.cpu_count", lambda: 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(("quota", "free"), [(None, 2.0), (3.0, 2.0), (0.3, 0.3)])
def test_what_others_and_the_quota_leave_is_free(
    quota: float | None, free: float, tmp_path: Path
) -> None:
    limit = None if quota is None else Quota(quota, tmp_path)
    assert LoadSampler(lambda: limit).sample([], 1.0).free_cores == free


def let_processes_use(monkeypatch: pytest.MonkeyPatch, used_s: dict[int, list[float]]) -> None:
    """Let psutil say of each process, one time after the other, that it has used so much."""
    ways = {pid: iter(times) for pid, times in used_s.items()}
    monkeypatch.setattr(
        "psutil.Process",
        lambda pid: SimpleNamespace(
            cpu_times=lambda: SimpleNamespace(user=next(ways[pid]), system=0.0)
        ),
    )


@pytest.mark.usefixtures("four_cores")
def test_what_the_node_uses_itself_is_free_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    let_processes_use(monkeypatch, {7: [10.0, 11.0]})
    sampler = LoadSampler(lambda: None)
    assert sampler.sample([7], 1.0).free_cores == 2.0
    assert sampler.sample([7], 1.0).free_cores == 3.0


@pytest.mark.usefixtures("four_cores")
def test_what_others_take_of_the_quota_is_not_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cgroup.procs").write_text("7\n8\n")
    let_processes_use(monkeypatch, {7: [10.0, 10.5], 8: [20.0, 20.25]})
    sampler = LoadSampler(lambda: Quota(1.0, tmp_path))
    assert sampler.sample([7], 1.0).free_cores == 1.0
    assert sampler.sample([7], 1.0).free_cores == 0.75


def test_process_that_has_ended_counts_for_nothing() -> None:
    gone = 2**22 + 1  # Beyond the largest process id there is.
    assert LoadSampler(lambda: None).sample([gone], 1.0).free_cores >= 0
