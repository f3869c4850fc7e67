"""Quotas of control groups, read from a tree of files like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.supervisor.cpu_quota import Quota, find_quota


def tree(root: Path, groups: str, **files: str) -> Path:
    """Write ``proc/self/cgroup`` and files whose names have "__" for each slash."""
    for name, text in {"proc__self__cgroup": groups, **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def write(root: Path, name: str, text: str) -> None:
    path = root / "sys/fs/cgroup" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert find_quota(tmp_path) is None
    assert find_quota(tree(tmp_path, "0::/\n")) is None


@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [
        ("30000 100000", "max 100000", 0.3),
        ("max 100000", "150000 100000", 1.5),
        ("200000 100000", "50000 100000", 0.5),
        ("max 100000", "max 100000", None),
        ("nonsense", "max 100000", None),
    ],
)
def test_least_quota_up_to_the_root_counts(
    tmp_path: Path, own: str, above: str, cores: float | None
) -> None:
    root = tree(tmp_path, "0::/service/node\n")
    write(root, "service/node/cpu.max", own)
    write(root, "service/cpu.max", above)
    quota = find_quota(root)
    assert (None if quota is None else quota.cores) == cores


def test_version_1_has_quota_and_period_apart(tmp_path: Path) -> None:
    root = tree(tmp_path, "4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n")
    write(root, "cpu,cpuacct/box/cpu.cfs_quota_us", "60000\n")
    write(root, "cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    write(root, "cpu/cpu.cfs_quota_us", "-1\n")
    group = root / "sys/fs/cgroup/cpu,cpuacct/box"
    assert find_quota(root) == Quota(0.6, group)


def test_this_machine_has_some_answer() -> None:
    quota = find_quota()
    assert quota is None or quota.cores > 0


def test_processes_of_the_group_are_known(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("7\n12\n")
    assert Quota(1.0, tmp_path).pids() == [7, 12]


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_group_that_cannot_be_read_has_no_processes(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cgroup.procs").write_text(text)
    assert Quota(1.0, tmp_path).pids() == []
