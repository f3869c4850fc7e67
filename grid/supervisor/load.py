"""What psutil says of this machine; the samples that steer task placement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import psutil

from grid.supervisor.cpu_quota import Quota, find_quota
from grid.wire.family import LoadSample

NEIGHBOURS_MAX = 256
"""Other processes of the control group that are looked at: each costs some 50 us a second."""


class LoadSampler:
    """Samples since the last sample."""

    def __init__(self, quota: Callable[[], Quota | None] = find_quota) -> None:
        """Take the starting point: the first call of psutil's measure has no past."""
        psutil.cpu_percent(interval=None)
        self._quota = quota
        self._used_s: dict[int, float] = {}
        """CPU time of each process of this node at the last sample."""

    def sample(self, own_pids: Iterable[int], elapsed_s: float) -> LoadSample:
        """Return CPU and memory use of the machine, and what is left of it for this node.

        Args:
            own_pids: the processes of this node. What they use is not taken from them; what their
                tasks have started in turn counts as others', and so do other processes of its
                control group, if that has a quota.
            elapsed_s: since the last sample.
        """
        cpu_percent = psutil.cpu_percent(interval=None)
        own = set(own_pids)
        quota = self._quota()
        neighbours = set() if quota is None else {*quota.pids()[:NEIGHBOURS_MAX]} - own
        used = self._cores_used_by(own | neighbours, elapsed_s)
        cores = psutil.cpu_count() or 1
        others = cores * cpu_percent / 100 - sum(used.get(pid, 0.0) for pid in own)
        free_cores = min(float(len(os.sched_getaffinity(0))), cores - max(0.0, others))
        if quota is not None:
            taken = sum(used.get(pid, 0.0) for pid in neighbours)
            free_cores = min(free_cores, quota.cores - taken)
        return LoadSample(
            cpu_percent=cpu_percent,
            memory_percent=psutil.virtual_memory().percent,
            free_cores=max(0.0, free_cores),
        )

    def _cores_used_by(self, pids: Iterable[int], elapsed_s: float) -> dict[int, float]:
        """Return how many cores each process has used since it was asked last."""
        before, self._used_s = self._used_s, {}
        for pid in pids:
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:
                continue  # It has just ended.
            self._used_s[pid] = times.user + times.system
        if elapsed_s <= 0:
            return {}
        return {
            pid: (used_s - before.get(pid, used_s)) / elapsed_s
            for pid, used_s in self._used_s.items()
        }
