"""Real nodes: killed alone, ended together, none left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys

import psutil
import pytest

from grid.chaos.nodes import LocalNodes
from grid.config import Config
from grid.errors import GridError
from grid.hosts.node_process import DEADLINE_S
from tests.processes.nodes import ask_until

SMALL = dataclasses.replace(Config(), node=dataclasses.replace(Config().node, storage_processes=1))


def processes() -> list[psutil.Process]:
    """All that was started from here."""
    return psutil.Process().children(recursive=True)


def test_killed_node_is_dead_to_the_others_and_a_new_one_takes_its_place() -> None:
    before = set(processes())
    with LocalNodes(SMALL, 3) as nodes:  # Of two, the other judges more slowly.
        for _ in range(3):
            nodes.wait_until_ready(nodes.start())
        client = nodes.client()

        def states() -> dict[str, str]:
            return {member["name"]: member["state"] for member in client.status()["members"]}

        ask_until(lambda: states() == dict.fromkeys(("node-1", "node-2", "node-3"), "alive"))
        nodes.kill("node-1")
        assert nodes.alive() == ["node-2", "node-3"]
        ask_until(lambda: states().get("node-1") == "dead")
        nodes.wait_until_ready(nodes.start())
        ask_until(lambda: states().get("node-4") == "alive")
        assert any("node-1" in complaint for complaint in nodes.complaints())
        client.close()
        seen = [process for process in processes() if process not in before]
        assert len(seen) >= 3
    _, alive = psutil.wait_procs(seen, timeout=DEADLINE_S)
    assert alive == []


def test_node_that_ends_before_it_is_ready_is_an_error() -> None:
    with LocalNodes(SMALL, 2) as nodes:
        name = nodes.start()
        nodes.kill(name)
        with pytest.raises(GridError, match="node-1 did not start"):
            nodes.wait_until_ready(name)


def test_nodes_end_with_the_program_that_started_them() -> None:
    program = (
        "import sys, time; from grid.chaos.nodes import LocalNodes; from grid.config import Config;"
        "nodes = LocalNodes(Config(), 2); nodes.wait_until_ready(nodes.start());"
        "print('ready', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=dict(os.environ)
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == b"ready\n"
            family = psutil.Process(started.pid).children(recursive=True)
            assert len(family) >= 3
        finally:
            started.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=DEADLINE_S)
    assert alive == []
