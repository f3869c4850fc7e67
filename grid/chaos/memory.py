"""Whether the memory of processes grows: samples, and the slope of each.

Responsible for: keeping a bounded number of samples of each process; saying how fast it grew in the
end, when its tables and buffers are filled.

Not responsible for: which processes there are (``nodes.py``, ``host_nodes.py``).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAMPLE_S = 2.0
SAMPLES_MAX = 512
"""Of a process; when there are more, every other one goes and further ones come half as often."""

PROCESSES_MAX = 2048
"""Processes remembered; those of the nodes killed first are forgotten."""

WATCHED_SHARE = 1 / 3
"""Of a process's life: its end, for at first every process grows. Malloc finds its size, and
storage keeps the latest results of each client in each partition, also of those it had for a
while only."""

WATCHED_MIN_S = 240.0
"""Of a shorter time nothing can be said."""

GROWTH_MAX_SHARE = 0.05
GROWTH_MAX_BYTES = 2 * 1024 * 1024
"""A process is flat if over the time watched it grew by no more than the larger of these."""

COURSE_POINTS = 16

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Growth:
    """How the memory of one process changed in the last part of its life."""

    process: str
    watched_s: float
    mean_bytes: float
    bytes_per_s: float
    course: tuple[int, ...] = ()
    """Its size over its whole life, `COURSE_POINTS` times at most."""

    @property
    def is_flat(self) -> bool:
        """Whether it grew by no more than what noise explains."""
        grown = self.bytes_per_s * self.watched_s
        return grown <= max(GROWTH_MAX_BYTES, GROWTH_MAX_SHARE * self.mean_bytes)

    def document(self) -> dict[str, Any]:
        """Return it as ``--json`` writes it."""
        return {
            "process": self.process,
            "minutes": round(self.watched_s / 60, 1),
            "mib": round(self.mean_bytes / _MIB, 1),
            "mib_per_hour": round(self.bytes_per_s * 3600 / _MIB, 2),
            "is_flat": self.is_flat,
            "course_mib": [round(size / _MIB, 1) for size in self.course],
        }


class _Samples:
    """Of one process: (time, bytes)."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, int]] = []
        self._pace_s = SAMPLE_S

    def add(self, now_s: float, resident_bytes: int) -> None:
        if self.kept and now_s - self.kept[-1][0] < self._pace_s * 0.9:
            return
        self.kept.append((now_s, resident_bytes))
        if len(self.kept) > SAMPLES_MAX:
            del self.kept[1::2]
            self._pace_s *= 2

    def growth(self, process: str) -> Growth | None:
        end_s = self.kept[-1][0]
        start_s = end_s - (end_s - self.kept[0][0]) * WATCHED_SHARE
        watched = [(time_s, size) for time_s, size in self.kept if time_s >= start_s]
        if not watched or watched[-1][0] - watched[0][0] < WATCHED_MIN_S:
            return None
        times_s, sizes = zip(*watched, strict=True)
        slope = statistics.linear_regression(times_s, sizes).slope
        every = -(-len(self.kept) // COURSE_POINTS)
        course = tuple(size for _, size in self.kept[::every])
        return Growth(process, times_s[-1] - times_s[0], statistics.fmean(sizes), slope, course)


class MemoryWatch:
    """The processes of a run. Pure: the caller brings time and sizes."""

    def __init__(self) -> None:
        """Start with none."""
        self._samples: dict[str, _Samples] = {}
        self._due_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether it is time for a sample."""
        return now_s >= self._due_s

    def add(self, now_s: float, resident_bytes: Mapping[str, int]) -> None:
        """Take the size of each process that lives."""
        self._due_s = now_s + SAMPLE_S
        for process, size in resident_bytes.items():
            if process not in self._samples and len(self._samples) >= PROCESSES_MAX:
                del self._samples[next(iter(self._samples))]
            self._samples.setdefault(process, _Samples()).add(now_s, size)

    def growths(self) -> list[Growth]:
        """Return how each process grew that was watched for long enough."""
        found = (samples.growth(process) for process, samples in self._samples.items())
        return [growth for growth in found if growth is not None]
