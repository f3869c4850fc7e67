"""Separate commands that find each other, and strangers that must not get in."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

import grid
from tests.processes.nodes import Node, ask_until, has_multicast, node, run_grid, write_config

SECRET = "a secret of the test cluster"


@pytest.mark.skipif(not has_multicast(), reason="loopback takes no multicast on this machine")
def test_four_separate_starts_become_one_cluster_by_multicast(tmp_path: Path):
    config = write_config(tmp_path, multicast=True)
    with contextlib.ExitStack() as stack:
        nodes: list[Node] = [
            stack.enter_context(node("--config", str(config), "--name", f"n{number}"))
            for number in range(4)
        ]
        ports = [started.wait_until_ready() for started in nodes]
        # Whoever founded has published a table for all four, now or soon.
        with grid.connect(config=config) as client:
            ask_until(lambda: {node.port for node in client.nodes()} == set(ports))
            numbers = client.map("numbers")
            numbers.put_all({n: n * n for n in range(500)})
            assert len(numbers) == 500
        for started in nodes:
            started.process.terminate()
        assert [started.end() for started in nodes] == [0, 0, 0, 0]


def test_seeds_replace_multicast(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config)) as first:
        port = first.wait_until_ready()
        text = config.read_text().replace(
            "[discovery]", f'[discovery]\nseeds = ["127.0.0.1:{port}"]'
        )
        config.write_text(text)
        with node("--config", str(config)) as second:
            second.wait_until_ready()
            first.wait_for("partition table .*nodes=2 ")


def test_another_secret_is_refused_in_one_sentence(tmp_path: Path):
    config = write_config(tmp_path, secret=SECRET)
    with node("--config", str(config)) as started:
        port = started.wait_until_ready()
        other = tmp_path / "other.toml"
        other.write_text(config.read_text().replace(SECRET, "another secret, as long"))
        status = run_grid("status", "--config", str(other), "--connect", f"127.0.0.1:{port}")
        assert status.returncode == 1
        assert status.stderr.count("\n") == 1
        assert "another cluster or uses another secret" in status.stderr
        right = run_grid("status", "--config", str(config), "--connect", f"127.0.0.1:{port}")
        assert right.returncode == 0


def test_strangers_get_nothing_and_harm_nothing(tmp_path: Path):
    config = write_config(tmp_path, secret=SECRET)
    with node("--config", str(config)) as started:
        port = started.wait_until_ready()
        for garbage in (
            b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 10,
            os.urandom(200),
            b"GRT1" + bytes(200),
        ):
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(garbage)
                stranger.settimeout(60)
                received = b""
                with contextlib.suppress(ConnectionResetError):
                    while piece := stranger.recv(4096):
                        received += piece
                if garbage.startswith(b"GET "):
                    assert received.startswith(b"HTTP/1.1 401 ")
                    assert b"members" not in received
                else:
                    # At most a challenge and a refusal: 33 bytes each.
                    assert len(received) <= 66
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(garbage, ("127.0.0.1", port))
        with grid.connect(config=config) as client:
            client.map("m")["still"] = "there"
            assert client.map("m")["still"] == "there"


def test_silent_connections_do_not_shut_others_out(tmp_path: Path):
    config = write_config(tmp_path, secret=SECRET)
    with node("--config", str(config)) as started, contextlib.ExitStack() as silent:
        port = started.wait_until_ready()
        for _ in range(300):
            silent.enter_context(socket.create_connection(("127.0.0.1", port)))
        with grid.connect(f"127.0.0.1:{port}", config=config) as client:
            client.map("m")["k"] = 1
            assert client.map("m")["k"] == 1


def test_no_node_at_all_is_said_in_one_sentence(tmp_path: Path):
    config = write_config(tmp_path)
    status = run_grid("status", "--config", str(config))
    assert status.returncode == 1
    assert status.stderr.startswith("grid: no node of the cluster")
    assert status.stderr.count("\n") == 1


def test_a_wrong_configuration_ends_with_code_2(tmp_path: Path):
    config = tmp_path / "cluster.toml"
    config.write_text("[node]\nprot = 7701\n")
    up = run_grid("up", "--config", str(config))
    assert up.returncode == 2
    assert 'did you mean "port"' in up.stderr
    assert up.stderr.count("\n") == 1
