"""Samples of this machine's load are percentages that can be sent."""

from __future__ import annotations

import pytest

from grid.supervisor.load import LoadSampler
from grid.wire.catalog import decode_supervisor_to_network, encode
from grid.wire.family import LoadSample


def test_sample_is_what_psutil_says(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.0, 12.5, 80.0])
    monkeypatch.setattr("psutil.cpu_percent", lambda interval: next(figures))
    sampler = LoadSampler()
    assert [sampler.sample().cpu_percent, sampler.sample().cpu_percent] == [12.5, 80.0]


def test_sample_of_this_machine_is_in_percent_and_can_be_sent() -> None:
    sample = LoadSampler().sample()
    assert 0 <= sample.cpu_percent <= 100
    assert 0 < sample.memory_percent <= 100
    assert decode_supervisor_to_network(encode(sample)) == sample
    assert isinstance(sample, LoadSample)
