"""One node from start to end: every way to stop it, every process it can lose."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

import grid
from tests.processes.nodes import assert_port_is_free, node, run_grid, write_config


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_node_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals):
    with node("--config", str(write_config(tmp_path))) as started:
        port = started.wait_until_ready()
        assert len(started.family()) == 4  # supervisor, network, storage, worker
        started.process.send_signal(number)
        assert started.end() == 0
        started.assert_gone()
        assert_port_is_free(port)


def test_grid_down_stops_the_node_and_says_so(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config)) as started:
        port = started.wait_until_ready()
        down = run_grid("down", "--config", str(config))
        assert (down.returncode, down.stdout) == (0, "stopped 1 node\n")
        assert started.end() == 0
        started.assert_gone()
        assert_port_is_free(port)
    again = run_grid("down", "--config", str(config))
    assert again.returncode == 1
    assert "no node of the cluster" in again.stdout


@pytest.mark.parametrize("victim", ["grid-network", "grid-storage-0"])
def test_a_node_that_loses_network_or_storage_comes_back_as_a_new_one(tmp_path: Path, victim: str):
    with node("--config", str(write_config(tmp_path))) as started:
        started.wait_until_ready()
        before = {process.pid for process in started.family()}
        started.member_named(victim).kill()
        started.wait_for("was killed by SIGKILL")
        port = started.wait_until_ready()
        after = {process.pid for process in started.family()}
        assert before & after == {started.process.pid}  # Only the supervisor is the same.
        started.process.terminate()
        assert started.end() == 0
        started.assert_gone()
        assert_port_is_free(port)


def test_a_killed_worker_is_replaced_singly(tmp_path: Path):
    with node("--config", str(write_config(tmp_path))) as started:
        started.wait_until_ready()
        before = {process.pid for process in started.family()}
        worker = started.member_named("grid-worker")
        worker.kill()
        started.wait_for("a new worker .* takes its place")
        worker.wait(timeout=60)
        after = {process.pid for process in started.family()}
        assert len(after) == len(before)
        assert len(before & after) == len(before) - 1
        started.process.terminate()
        assert started.end() == 0
        started.assert_gone()


def test_a_killed_supervisor_takes_its_family_with_it(tmp_path: Path):
    with node("--config", str(write_config(tmp_path))) as started:
        port = started.wait_until_ready()
        started.family()
        started.process.kill()
        started.assert_gone()
        assert_port_is_free(port)


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config)) as first:
        port = first.wait_until_ready()
        with node("--config", str(config), "--port", str(port)) as second:
            assert second.end() == 1
            said = [line for line in second.output().splitlines() if "ERROR" in line]
            assert len(said) == 1
            assert f"port {port} on 127.0.0.1 is taken" in said[0]
            second.assert_gone()


def test_a_node_is_one_process_group(tmp_path: Path):
    with node("--config", str(write_config(tmp_path))) as started:
        started.wait_until_ready()
        groups = {os.getpgid(process.pid) for process in started.family()}
        assert groups == {started.process.pid}


def test_what_tasks_have_left_behind_ends_with_the_node(tmp_path: Path):
    config = write_config(tmp_path)

    def start_sleeper() -> int:
        return subprocess.Popen(["sleep", "600"]).pid

    with node("--config", str(config)) as started:
        started.wait_until_ready()
        with grid.connect(config=config) as client, client.executor() as pool:
            sleeper = pool.submit(start_sleeper).result(timeout=60)
        stray = psutil.Process(sleeper)
        started.process.terminate()
        assert started.end() == 0
        _, alive = psutil.wait_procs([stray], timeout=60)
        assert alive == []


@pytest.mark.parametrize("victim", ["grid-network", "grid-storage-0"])
def test_a_stopped_process_does_not_keep_the_node_from_stopping(tmp_path: Path, victim: str):
    with node("--config", str(write_config(tmp_path))) as started:
        port = started.wait_until_ready()
        started.member_named(victim).send_signal(signal.SIGSTOP)
        started.process.terminate()
        assert started.end() == 0
        started.assert_gone()
        assert_port_is_free(port)


def test_a_stopped_network_process_ends_with_a_killed_supervisor(tmp_path: Path):
    with node("--config", str(write_config(tmp_path))) as started:
        started.wait_until_ready()
        started.member_named("grid-network").send_signal(signal.SIGSTOP)
        started.process.kill()
        started.assert_gone()
