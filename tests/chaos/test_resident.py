"""Sizes are those of living processes, under names that tell nodes and restarts apart."""

from __future__ import annotations

import os
import subprocess
import sys

from grid.chaos.resident import resident_bytes


def test_each_process_of_a_tree_has_its_size() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        sizes = resident_bytes({"here": os.getpid()})
        assert child.stdin is not None
        child.stdin.close()
    (name,) = (name for name in sizes if name.endswith(f"({child.pid})"))
    assert name.startswith("here/")
    assert sizes["here/supervisor"] > 1 << 20
    assert sizes[name] > 1 << 16


def test_a_process_that_has_ended_has_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert resident_bytes({"gone": child.pid}) == {}
