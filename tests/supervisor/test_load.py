"""Samples of this machine's load are percentages that can be sent."""

from __future__ import annotations

import os
from types import SimpleNamespace

import psutil
import pytest

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
def test_what_others_and_the_quota_leave_is_free(quota: float | None, free: float) -> None:
    assert LoadSampler(lambda: quota).sample([], 1.0).free_cores == free


@pytest.mark.usefixtures("four_cores")
def test_what_the_node_uses_itself_is_free_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used_s = iter([10.0, 11.0])
    monkeypatch.setattr(
        "psutil.Process",
        lambda pid: SimpleNamespace(
            cpu_times=lambda: SimpleNamespace(user=next(used_s), system=0.0)
        ),
    )
    sampler = LoadSampler(lambda: None)
    assert sampler.sample([7], 1.0).free_cores == 2.0
    assert sampler.sample([7], 1.0).free_cores == 3.0


def test_process_that_has_ended_counts_for_nothing() -> None:
    gone = 2**22 + 1  # Beyond the largest process id there is.
    assert LoadSampler(lambda: None).sample([gone], 1.0).free_cores >= 0
