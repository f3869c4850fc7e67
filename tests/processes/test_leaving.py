"""A node that is told to stop gives its entries to the others first, if there are others."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import grid
from tests.processes.nodes import has_multicast, node, run_grid, write_config

ENTRIES = {number: b"value" * 50 for number in range(5_000)}


@pytest.mark.skipif(not has_multicast(), reason="loopback takes no multicast on this machine")
def test_nothing_is_lost_when_nodes_leave_one_after_the_other(tmp_path: Path):
    config = write_config(tmp_path, multicast=True, secret="a secret of this test")
    arguments = ("--config", str(config), "--name")
    with (
        node(*arguments, "ann") as ann,
        node(*arguments, "ben") as ben,
        node(*arguments, "cat") as cat,
    ):
        for started in (ann, ben, cat):
            started.wait_until_ready()
        assert run_grid("wait-safe", "--config", str(config)).returncode == 0
        with grid.connect(f"127.0.0.1:{ann.port}", config=config) as client:
            entries = client.map("entries")
            for leaving, left in ((cat, 2), (ben, 1)):
                entries.put_all(ENTRIES)  # Asynchronous: the backups may not have the last ones.
                leaving.process.send_signal(signal.SIGTERM)
                assert leaving.end() == 0
                leaving.assert_gone()
                assert "SIGTERM: leaving the cluster" in leaving.output()
                assert len(client.nodes()) == left
                assert client.lost() == []
                assert dict(entries.items()) == ENTRIES
            assert client.status()["partitions"]["unprotected"] == 256


def test_nodes_that_leave_together_do_not_wait_for_each_other(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config), "--nodes", "3") as started:
        started.wait_for("partition table .*nodes=3 ")
        started.family()
        with grid.connect(config=config) as client:
            client.map("entries").put_all(ENTRIES)
        started.process.send_signal(signal.SIGINT)
        assert started.end() == 0
        started.assert_gone()
        said = started.output()
        assert "SIGINT: stopping 3 nodes" in said
        assert "ERROR" not in said
        assert "in order" not in said, "a supervisor has given its node up"
