"""What psutil says of this machine; the samples that steer task placement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import psutil

from grid.supervisor.cpu_quota import quota_cores
from grid.wire.family import LoadSample


class LoadSampler:
    """Samples since the last sample."""

    def __init__(self, quota: Callable[[], float | None] = quota_cores) -> None:
        """Take the starting point: the first call of psutil's measure has no past."""
        psutil.cpu_percent(interval=None)
        self._quota = quota
        self._used_s: dict[int, float] = {}
        """CPU time of each process of this node at the last sample."""

    def sample(self, own_pids: Iterable[int], elapsed_s: float) -> LoadSample:
        """Return CPU and memory use of the machine, and what is left of it for this node.

        Args:
            own_pids: the processes of this node. What they use is not taken from them; what their
                tasks have started in turn counts as others'.
            elapsed_s: since the last sample.
        """
        cpu_percent = psutil.cpu_percent(interval=None)
        cores = psutil.cpu_count() or 1
        own_cores = self._cpu_time_since(own_pids) / elapsed_s if elapsed_s > 0 else 0.0
        others_cores = max(0.0, cores * cpu_percent / 100 - own_cores)
        quota = self._quota()
        usable = min(len(os.sched_getaffinity(0)), cores if quota is None else quota)
        return LoadSample(
            cpu_percent=cpu_percent,
            memory_percent=psutil.virtual_memory().percent,
            free_cores=min(usable, max(0.0, cores - others_cores)),
        )

    def _cpu_time_since(self, pids: Iterable[int]) -> float:
        """Return the CPU seconds that these processes have used since they were asked last."""
        before, self._used_s = self._used_s, {}
        total_s = 0.0
        for pid in pids:
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:
                continue  # It has just ended.
            used_s = self._used_s[pid] = times.user + times.system
            total_s += used_s - before.get(pid, used_s)
        return total_s
