"""How many cores this process's control group may use (cgroups(7), versions 1 and 2).

Containers and service managers limit processes by it; psutil does not know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_Reader = Callable[[Path], float | None]


class Quota(NamedTuple):
    """What a control group may use: `cores`, for all of its processes together."""

    cores: float
    group: Path

    def pids(self) -> list[int]:
        """Return the processes of the group; those of groups below it are not among them."""
        try:
            return [int(pid) for pid in (self.group / "cgroup.procs").read_text().split()]
        except (OSError, ValueError):
            return []


def find_quota(root: Path = Path("/")) -> Quota | None:
    """Return the least quota of this process's group and those above it; None without any.

    `root` is where ``proc`` and ``sys`` are, for tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas: list[Quota] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += _quotas(root / "sys/fs/cgroup", path, _quota_v2)
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", controllers):
                quotas += _quotas(root / "sys/fs/cgroup" / mount, path, _quota_v1)
    return min(quotas, default=None)


def _quotas(mount: Path, path: str, read: _Reader) -> list[Quota]:
    """Return the quotas of a group and of all groups above it."""
    parts = [part for part in path.split("/") if part and part != ".."]
    groups = [mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    found = ((read(group), group) for group in groups)
    return [Quota(cores, group) for cores, group in found if cores is not None]


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return None if quota <= 0 else quota / int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
