"""A CPU quota for a group of processes, by whichever version of control groups is mounted.

Responsible for: finding the hierarchy, making and removing one group, reading how often it was
throttled.

Not responsible for: putting processes into it; they are started by a command that enters
(`CpuGroup.entering`), so that no moment of theirs is outside.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from grid.hosts.owner import new_token

PERIOD_US = 10_000
"""Short, so that a slow host is slow evenly: with the usual 100 ms it would stall for most of it,
which is another fault."""

QUOTA_MIN_US = 1_000
"""The kernel takes no less."""

PRECEDENCE = 100
"""How much more than an ordinary process a group counts for the scheduler: what else runs on the
machine must not make of a quota less than it says. Nobody has more than the quota by it."""

DEADLINE_S = 60.0
POLL_S = 0.02

_ENTER = 'echo 0 > "$0" && exec "$@"'


@dataclass(frozen=True)
class Hierarchy:
    """Where groups with a CPU quota can be made."""

    folder: Path
    version: int


@dataclass(frozen=True)
class Throttling:
    """Counters of a group since it was made."""

    periods: int
    throttled: int


def find_hierarchy(mounts: str) -> Hierarchy | None:
    """Return the hierarchy with the CPU controller, from the text of /proc/mounts."""
    for line in mounts.splitlines():
        _, folder, kind, options, *_ = line.split(" ")
        if kind == "cgroup" and "cpu" in options.split(","):
            return Hierarchy(Path(folder), 1)
        if kind == "cgroup2":
            # Controllers that are not handed down do not exist in the groups below. Handing them
            # down is the machine's decision, and would outlive the group.
            handed_down = Path(folder) / "cgroup.subtree_control"
            with contextlib.suppress(OSError):
                if "cpu" in handed_down.read_text().split():
                    return Hierarchy(Path(folder), 2)
    return None


def folder() -> Path | None:
    """Return where the groups of this machine are; None if none can be made."""
    hierarchy = find_hierarchy(Path("/proc/mounts").read_text())
    return None if hierarchy is None else hierarchy.folder


@functools.cache
def unavailable() -> str:
    """Return why no CPU quota can be set here; empty if one can."""
    hierarchy = find_hierarchy(Path("/proc/mounts").read_text())
    if hierarchy is None:
        return "no control group hierarchy with the CPU controller is mounted"
    probe = CpuGroup(f"{new_token()}-probe", 1.0)
    try:
        probe.create()
    except OSError as error:
        return str(error)
    finally:
        probe.remove()
    return ""


class CpuGroup:
    """A group of processes that together get `cores` of CPU time, at least 0.1."""

    def __init__(self, name: str, cores: float) -> None:
        hierarchy = find_hierarchy(Path("/proc/mounts").read_text())
        assert hierarchy is not None, "ask unavailable() first"
        self._version = hierarchy.version
        self.folder = hierarchy.folder / name
        self.quota_us = round(cores * PERIOD_US)
        assert self.quota_us >= QUOTA_MIN_US, f"{cores} cores are too few"

    def create(self) -> None:
        """Make the group and set its quota and precedence."""
        self.folder.mkdir(exist_ok=True)
        if self._version == 1:
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(self.quota_us))
            (self.folder / "cpu.shares").write_text(str(1024 * PRECEDENCE))
        else:
            (self.folder / "cpu.max").write_text(f"{self.quota_us} {PERIOD_US}")
            (self.folder / "cpu.weight").write_text(str(100 * PRECEDENCE))

    def entering(self) -> list[str]:
        """Return the beginning of a command that enters the group before it runs the rest."""
        return ["/bin/sh", "-c", _ENTER, str(self.folder / "cgroup.procs")]

    def throttling(self) -> Throttling:
        """Return how many periods had work, and in how many of them the quota ran out."""
        lines = (self.folder / "cpu.stat").read_text().splitlines()
        counters = {name: int(value) for name, value in (line.split() for line in lines)}
        return Throttling(counters["nr_periods"], counters["nr_throttled"])

    def remove(self) -> None:
        """Kill what is in the group and remove it; idempotent.

        Raises: OSError when it does not become empty.
        """
        deadline_s = time.monotonic() + DEADLINE_S
        while self.folder.exists():
            for pid in (self.folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                self.folder.rmdir()
            except OSError:  # Busy until the last process has been buried.
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)
