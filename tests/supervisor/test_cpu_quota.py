"""Quotas of control groups, read from a tree of files like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.supervisor.cpu_quota import quota_cores


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
    assert quota_cores(tmp_path) is None
    assert quota_cores(tree(tmp_path, "0::/\n")) is None


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
    assert quota_cores(root) == cores


def test_version_1_has_quota_and_period_apart(tmp_path: Path) -> None:
    root = tree(tmp_path, "4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n")
    write(root, "cpu,cpuacct/box/cpu.cfs_quota_us", "60000\n")
    write(root, "cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    write(root, "cpu/cpu.cfs_quota_us", "-1\n")
    assert quota_cores(root) == 0.6


def test_this_machine_has_some_answer() -> None:
    quota = quota_cores()
    assert quota is None or quota > 0
