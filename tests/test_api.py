"""Finding a cluster, and clusters of a program's own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

import grid
from grid import AuthenticationError, ConnectError, PartitionLostError
from grid.api import fetch_status, find_config, find_grid
from grid.config import Config, load
from grid.machine_secret import machine_secret
from grid.wire.keys import encode_key
from tests.processes.nodes import ask_until, has_multicast, node, write_config

USER_PROGRAM = """
import grid, sys
with grid.local(nodes=2) as g:
    print(*[member["pid"] for member in g.status()["members"]], flush=True)
    sys.stdin.readline()
"""


def test_connect_finds_a_node_of_this_user_without_an_address(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config)) as started:
        port = started.wait_until_ready()
        with grid.connect(config=config) as client:
            client.map("m")["k"] = 1
        with grid.connect(f"127.0.0.1:{port}", config=write_secret(config)) as client:
            assert client.map("m")["k"] == 1


def write_secret(config: Path) -> Path:
    """Give a client the machine's own secret: by TCP it must prove it."""
    path = config.with_name("client.toml")
    secret = machine_secret().decode()
    path.write_text(config.read_text().replace('secret = ""', f'secret = "{secret}"'))
    return path


def test_connect_says_what_it_tried(tmp_path: Path):
    with pytest.raises(ConnectError, match="no node of the cluster 'test-"):
        grid.connect(config=write_config(tmp_path))
    with pytest.raises(ConnectError, match="looks like"):
        grid.connect("nonsense:")


def test_with_an_address_nobody_else_is_asked(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config)) as started:
        port = started.wait_until_ready()
        with pytest.raises(ConnectError, match="does it run there"):
            grid.connect("127.0.0.1:1", config=write_secret(config))
        config.write_text(config.read_text().replace('""', f'"{"wrong" * 5}"'))
        with pytest.raises(AuthenticationError, match="another secret"):
            grid.connect(f"127.0.0.1:{port}", config=config)


@pytest.mark.skipif(not has_multicast(), reason="no multicast on loopback")
def test_connect_finds_a_node_by_its_beacon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = write_config(tmp_path, multicast=True, secret="known to node and program")
    config.write_text(config.read_text() + "beacon_period_s = 0.5\n")
    with node("--config", str(config)) as started:
        port = started.wait_until_ready()
        # As for a program of another user, or on another machine.
        monkeypatch.setattr("grid.api.local_node_ports", lambda: [])
        with grid.connect(config=config) as client:
            client.map("m")["k"] = 1
            assert client.map("m")["k"] == 1
        # It has only listened: a program is no member.
        members = fetch_status(load(config))["members"]
        assert [member["address"] for member in members] == [f"127.0.0.1:{port}"]


def test_gateways_of_no_use_are_followed_by_the_next(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def refuse(gateways, keys):
        asked.append(gateways)
        raise ConnectError(f"{gateways[0]} has just ended")

    monkeypatch.setattr("grid.api.local_node_ports", lambda: [7702, 7701])
    monkeypatch.setattr("grid.finding.search.ask_cluster", lambda *_, **__: None)
    with pytest.raises(ConnectError, match="7701 has just ended; 7702 has just ended; the network"):
        find_grid(Config(), None, refuse)
    assert asked == [[7701, 7702], [7702]]


def test_the_configuration_is_looked_for_where_a_user_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRID_CONFIG", raising=False)
    assert find_config(None) is None
    (tmp_path / "cluster.toml").touch()
    assert find_config(None) == Path("cluster.toml")
    monkeypatch.setenv("GRID_CONFIG", "/elsewhere.toml")
    assert find_config(None) == Path("/elsewhere.toml")
    assert find_config("given.toml") == Path("given.toml")


def test_a_local_cluster_ends_with_a_program_that_is_killed():
    program = subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdout is not None
    supervisors = [psutil.Process(int(pid)) for pid in program.stdout.readline().split()]
    family = [p for s in supervisors for p in (s, *s.children(recursive=True))]
    assert len(family) == 2 * 4
    program.send_signal(signal.SIGKILL)
    program.wait()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []


def is_safe(g: grid.Grid) -> bool:
    partitions = g.status()["partitions"]
    return bool(partitions["safe"] == partitions["total"] and not partitions["moving"])


WITHOUT_A_BLOCK = """
import grid, os
g = grid.local(workers=1, storage_processes=1)
print(*[member["pid"] for member in g.status()["members"]], flush=True)
if not (child := os.fork()):
    g.close()
    raise SystemExit  # The cluster is not the child's.
os.waitpid(child, 0)
g.map("m")["k"] = "still there"
print(g.map("m")["k"])
{end}
"""


@pytest.mark.parametrize("end", ["g.close(); g.close()", "del g", ""])
def test_a_local_cluster_without_a_with_block_ends_with_its_client_or_the_program(end: str):
    program = WITHOUT_A_BLOCK.format(end=end)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    pids, said = ended.stdout.splitlines()
    assert said == "still there"
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.split())


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"nodes": 0}, "nodes = 0: must be a whole number from 1 to 64"),
        ({"nodes": "2"}, "nodes = '2': must be a whole number"),
        ({"workers": -1}, "workers = -1: must be a whole number from 0 to 1024"),
        ({"storage_processes": 1.5}, "storage_processes = 1.5: must be a whole number from 0"),
    ],
)
def test_a_local_cluster_of_impossible_numbers_is_refused(numbers: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        grid.local(**numbers)


def kill(g: grid.Grid, *names: str) -> None:
    for member in g.status()["members"]:
        if member["name"] in names:
            psutil.Process(member["pid"]).kill()


def test_what_tasks_print_stands_on_the_program_s_standard_error():
    program = """
import grid
with grid.local(nodes=1, workers=1) as g, g.executor() as pool:
    pool.submit(print, "hello", "  from a task").result()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("", "local: hello   from a task\n")


def test_of_what_tasks_print_fast_nothing_is_dropped_without_a_word():
    program = """
import sys, grid

def chat():
    for number in range(20_000):
        print(number)
    sys.stdout.write("that is all")
    sys.stdout.flush()

with grid.local(nodes=1, workers=1) as g, g.executor() as pool:
    pool.submit(chat).result()
"""
    with tempfile.TemporaryFile("w+") as file:
        subprocess.run([sys.executable, "-c", program], stderr=file, check=True)
        file.seek(0)
        told = file.read().splitlines()
    dropped = [int(line.split()[-7]) for line in told if "lines were dropped" in line]
    printed = [line for line in told if "lines were dropped" not in line]
    assert len(printed) + sum(dropped) == 20_001  # None, unless the launcher had no core for long.
    assert printed[0] == "local: 0"
    assert printed[-1] == "local: that is all"


def test_a_local_cluster_needs_no_standard_streams():
    program = """
import sys, grid
with grid.local(nodes=1, workers=1) as g, g.executor() as pool:
    assert pool.submit(print, "to nobody", file=None).result() is None
sys.exit(3)
"""
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, program]
    assert subprocess.run(command, check=False).returncode == 3


def test_a_launcher_that_ends_at_once_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    launcher = tmp_path / "launcher"
    launcher.write_text("#!/bin/sh\nexec <&-\nexec >&-\n")
    launcher.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(launcher))
    with pytest.raises(ConnectError, match="the local cluster did not start"):
        grid.local()


def test_a_killed_node_loses_nothing_that_a_backup_had():
    with grid.local(nodes=3, workers=1, storage_processes=1) as g:
        ask_until(lambda: is_safe(g))
        numbers = g.map("numbers", backup_ack=True)
        numbers.put_all({n: n for n in range(300)})
        tokens = [numbers.put(n, -n) for n in range(20)]
        kill(g, "local-3")
        assert numbers.get_all(range(300)) == {n: -n if n < 20 else n for n in range(300)}
        ask_until(lambda: is_safe(g) and len(g.nodes()) == 2)
        assert all(g.survived(token) for token in tokens)
        assert g.lost() == []
        promotions = [event for event in g.events() if event.kind == "promoted"]
        assert sum(int(event.fields["partitions"]) for event in promotions) > 0


def test_partitions_whose_nodes_die_together_are_lost_aloud_until_accepted():
    with grid.local(nodes=4, workers=1, storage_processes=1) as g:
        ask_until(lambda: is_safe(g))
        numbers = g.map("numbers")
        numbers.put_all({n: n for n in range(1000)})
        # Not the first gateway: losing that one is another story.
        kill(g, "local-3", "local-4")
        ask_until(lambda: len(g.lost()) > 0)
        lost = set(g.lost())
        gone = [n for n in range(1000) if encode_key(n, 64)[0] in lost]
        kept = [n for n in range(1000) if n not in gone]
        assert gone
        with pytest.raises(PartitionLostError, match="lost with the node"):
            numbers[gone[0]]
        with pytest.raises(PartitionLostError):
            numbers[gone[0]] = 1
        assert numbers.get_all(kept).keys() <= set(kept)
        assert g.status()["partitions"]["lost"] == len(g.lost())
        g.accept_loss()
        ask_until(lambda: not g.lost())
        assert gone[0] not in numbers
        numbers[gone[0]] = 1
        assert numbers[gone[0]] == 1


def test_every_public_name_is_there_and_no_other():
    assert set(grid.__all__) <= set(dir(grid))
    for name in grid.__all__:
        assert getattr(grid, name).__module__.startswith("grid.")
    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        grid.conect  # noqa: B018  # the attribute is the test


def test_importing_the_package_loads_nothing_that_is_not_used():
    code = "import grid, sys; print(sorted(n for n in sys.modules if n.startswith('grid')))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert loaded.stdout.strip() == "['grid']"
