"""Which control group hierarchy can set a CPU quota, on machines of each kind."""

from __future__ import annotations

from pathlib import Path

from grid.hosts.cgroup import Hierarchy, find_hierarchy


def test_version_1_is_found_by_its_controller():
    mounts = (
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n"
        "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
    )
    assert find_hierarchy(mounts) == Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), 1)


def test_version_2_is_found_if_it_hands_the_controller_down(tmp_path: Path):
    mounts = f"cgroup2 {tmp_path} cgroup2 rw,nosuid 0 0\n"
    assert find_hierarchy(mounts) is None
    handed_down = tmp_path / "cgroup.subtree_control"
    handed_down.write_text("memory pids\n")
    assert find_hierarchy(mounts) is None
    handed_down.write_text("cpuset cpu io\n")
    assert find_hierarchy(mounts) == Hierarchy(tmp_path, 2)


def test_version_2_without_the_controller_does_not_hide_version_1(tmp_path: Path):
    mounts = f"cgroup2 {tmp_path} cgroup2 rw 0 0\ncgroup /cpu cgroup rw,cpu 0 0\n"
    assert find_hierarchy(mounts) == Hierarchy(Path("/cpu"), 1)
