"""Several whole nodes from one command."""

from __future__ import annotations

import json
import os
from pathlib import Path

from grid.api import fetch_status
from grid.config import load
from tests.processes.nodes import Node, ask_until, node, run_grid, write_config

SECRET = "a secret that no other cluster has"


def wait_until_all_ready(started: Node, config: Path, count: int) -> None:
    """Wait until each node says itself that so many hold partitions: news takes a moment to go
    round, and a command asks any of them.
    """
    settings = load(config)

    def holders(address: str | None = None) -> list[str]:
        members = fetch_status(settings, address)["members"]
        return [member["address"] for member in members if member["primaries"]]

    def all_know_all() -> bool:
        return [len(holders(address)) for address in holders()] == [count] * count

    started.wait_for(rf"partition table .*nodes={count} ")
    ask_until(all_know_all)
    started.family()


def test_nodes_form_one_cluster_each_its_own_group_and_end_together(tmp_path: Path):
    config = write_config(tmp_path, secret=SECRET)
    with node("--config", str(config), "--nodes", "3") as started:
        wait_until_all_ready(started, config, 3)
        status = json.loads(run_grid("status", "--json", "--config", str(config)).stdout)
        pids = {member["pid"] for member in status["members"]}
        assert {os.getpgid(pid) for pid in pids} == pids
        assert len(pids) == 3
        assert sorted(m["primaries"] for m in status["members"]) == [85, 85, 86]
        assert status["partitions"]["total"] == 256
        started.process.terminate()
        assert started.end() == 0
        started.assert_gone()


def test_a_killed_launcher_takes_all_nodes_with_it(tmp_path: Path):
    config = write_config(tmp_path, secret=SECRET)
    with node("--config", str(config), "--nodes", "2") as started:
        wait_until_all_ready(started, config, 2)
        started.process.kill()
        started.assert_gone()


def test_grid_down_stops_all_nodes_of_the_machine(tmp_path: Path):
    config = write_config(tmp_path, secret=SECRET)
    with node("--config", str(config), "--nodes", "2") as started:
        wait_until_all_ready(started, config, 2)
        down = run_grid("down", "--config", str(config))
        assert (down.returncode, down.stdout) == (0, "stopped 2 nodes\n")
        assert started.end() == 0
        started.assert_gone()
