"""Growth of memory is told from the noise, and from what a process needs to start with."""

from __future__ import annotations

import math

import pytest

from grid.chaos.memory import (
    SAMPLE_S,
    SAMPLES_MAX,
    WATCHED_MIN_S,
    WATCHED_SHARE,
    MemoryWatch,
)

MIB = 1024 * 1024


def watched(minutes: float, mib_at: object, process: str = "a/network") -> MemoryWatch:
    """A watch that has seen one process, whose size after so many seconds `mib_at` says."""
    watch = MemoryWatch()
    steps = int(minutes * 60 / SAMPLE_S)
    for step in range(steps + 1):
        now_s = 1000 + step * SAMPLE_S
        assert watch.is_due(now_s)
        watch.add(now_s, {process: round(mib_at(step * SAMPLE_S) * MIB)})  # type: ignore[operator]
    return watch


def test_process_of_one_size_is_flat() -> None:
    (growth,) = watched(15, lambda second: 50.0).growths()
    assert growth.is_flat
    assert growth.document() == {
        "process": "a/network",
        "minutes": 5.0,
        "mib": 50.0,
        "mib_per_hour": 0.0,
        "is_flat": True,
        "course_mib": [50.0] * 16,
    }


def test_growth_that_ends_before_the_last_part_does_not_count() -> None:
    (growth,) = watched(15, lambda second: 20 + 60 * min(1.0, second / 590)).growths()
    assert growth.is_flat
    assert growth.bytes_per_s == pytest.approx(0, abs=1)


def test_steady_growth_is_found_under_noise() -> None:
    def leaking(second: float) -> float:
        return 50 + second / 60 + 2 * math.sin(second)

    (growth,) = watched(15, leaking).growths()
    assert growth.document()["mib_per_hour"] == pytest.approx(60, abs=1)
    assert not growth.is_flat


def test_noise_alone_is_flat() -> None:
    (growth,) = watched(15, lambda second: 50 + 3 * math.sin(second / 7)).growths()
    assert growth.is_flat


def test_short_lives_say_nothing() -> None:
    minutes = WATCHED_MIN_S / WATCHED_SHARE / 60
    assert watched(minutes - 0.1, lambda second: 50 + second).growths() == []
    assert len(watched(minutes + 0.1, lambda second: 50 + second).growths()) == 1


def test_long_runs_keep_few_samples_and_the_same_slope() -> None:
    watch = watched(24 * 60, lambda second: 50 + second / 3600)
    (growth,) = watch.growths()
    assert growth.document()["mib_per_hour"] == pytest.approx(1, rel=0.01)
    assert len(watch._samples["a/network"].kept) <= SAMPLES_MAX


def test_only_what_is_due_is_taken() -> None:
    watch = MemoryWatch()
    assert watch.is_due(0)
    watch.add(0, {"a": 1})
    assert not watch.is_due(SAMPLE_S / 2)
    assert watch.is_due(SAMPLE_S)


def test_processes_of_the_nodes_killed_first_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.chaos.memory.PROCESSES_MAX", 3)
    watch = MemoryWatch()
    for number in range(5):
        watch.add(number * SAMPLE_S, {str(number): 1})
    assert list(watch._samples) == ["2", "3", "4"]
