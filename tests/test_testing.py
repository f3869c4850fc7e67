"""The pytest fixture for users' tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from grid import Grid
from grid.testing import cluster

pair = cluster(nodes=2, workers=1, storage_processes=1, scope="function")

USER_TESTS = {
    "conftest.py": """
from grid.testing import cluster

one = cluster(workers=1, storage_processes=1)
""",
    "test_first.py": """
def test_writes(one):
    one.map("m")["pid"] = one.status()["members"][0]["pid"]
    with one.executor() as pool:
        assert pool.submit(pow, 2, 3).result() == 8
""",
    "test_second.py": """
from pathlib import Path

def test_reads_in_the_same_session(one):
    Path("pid").write_text(str(one.map("m")["pid"]))
""",
    "test_third.py": """
from grid.testing import cluster

own = cluster(workers=1, storage_processes=1, scope="module")

def test_writes(own):
    own.map("m")["by"] = "the first test"

def test_reads_in_the_same_module(own):
    assert own.map("m")["by"] == "the first test"

def test_has_not_the_cluster_of_the_session(own, one):
    assert "by" not in one.map("m")
""",
}


def test_it_yields_a_client_of_a_cluster_of_so_many_nodes(pair: Grid):
    assert [node.workers for node in pair.nodes()] == [1, 1]


def test_a_user_s_tests_share_it_and_nothing_is_left_of_it(tmp_path: Path):
    for name, text in USER_TESTS.items():
        (tmp_path / name).write_text(text)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "5 passed" in finished.stdout, finished.stdout
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
