"""The commands that look at a running cluster: once, again and again, for people and programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grid.cli import main
from grid.config import Config
from grid.errors import ConnectError
from grid.wire.control import Event
from tests.console.samples import partition_map, partitions, status_dict
from tests.processes.nodes import node, run_grid, write_config

COMMANDS = ("status", "members", "partitions", "tasks", "events", "console")
OTHERS = ("up", "down", "wait-safe", "keygen", "token", "accept-loss", "bench", "chaos", "sim")


class Cluster:
    """What a client answers, one after the other; then Ctrl-C comes."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.pauses_s: list[float] = []
        self.asked: list[str | None] = []

    def open(self, config: Config, address: str | None) -> Cluster:
        self.asked.append(address)
        return self

    def take(self, connections: Cluster) -> Any:
        if not self.answers:
            raise KeyboardInterrupt
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(name="cluster")
def fixture_cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("grid.status_commands.open_connections", cluster.open)
    monkeypatch.setattr("grid.status_commands.status_from", cluster.take)
    monkeypatch.setattr("grid.status_commands.Connections.events", cluster.take)
    monkeypatch.setattr("grid.status_commands.time.sleep", cluster.pauses_s.append)
    return cluster


def event(number: int, time_s: float = 100.0, node: str = "n1") -> Event:
    return Event(number, time_s, node, "joined", f"n{number} joined", {})


def test_each_look_answers_programs(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    for command, check in (
        ("status", lambda answer: answer["cluster"] == "library"),
        ("members", lambda answer: [entry["name"] for entry in answer] == ["n1", "n2"]),
        ("partitions", lambda answer: len(answer["partitions"]) == 256),
        ("tasks", lambda answer: answer["queued"] == 9),
    ):
        cluster.answers = [status_dict(2)]
        assert main([command, "--json"]) == 0
        assert check(json.loads(capsys.readouterr().out)), command


def test_each_look_answers_people(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    document = status_dict(2, partitions=partitions(lost=2), partition_map=partition_map(2, lost=2))
    for command, said in (
        ("status", "of 256 partitions 2 lost"),
        ("members", "ops/s"),
        ("partitions", "lost: 0-1"),
        ("tasks", "9 queued, 3 running, 3702 done, 1 retried"),
    ):
        cluster.answers = [document]
        assert main([command]) == 0
        out = capsys.readouterr().out
        assert said in out
        assert "n2" in out


def test_watching_prints_a_json_line_a_look_until_ctrl_c(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.answers = [status_dict(1), status_dict(2), status_dict(3)]
    assert main(["members", "--json", "--watch", "--interval", "2.5"]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert [len(json.loads(line)) for line in lines] == [1, 2, 3]
    assert cluster.pauses_s == [2.5] * 3


def test_watching_tells_silence_once_and_goes_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    silence = ConnectError("no node answers")
    cluster.answers = [status_dict(1), silence, silence, status_dict(2), silence]
    assert main(["status", "--watch"]) == 130
    out, err = capsys.readouterr()
    assert err == "grid: no node answers; asking again\n" * 2
    assert out.count("library") == 2
    assert "\x1b" not in out  # Below each other where there is no terminal.


def test_silence_at_first_is_a_failure(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.answers = [ConnectError("no node answers")]
    assert main(["status", "--watch"]) == 1
    assert capsys.readouterr().err == "grid: no node answers\n"


def test_watching_on_a_terminal_draws_over_the_last_picture(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("LINES", "5")
    cluster.answers = [status_dict(12), status_dict(12)]
    assert main(["status", "--watch"]) == 130
    out = capsys.readouterr().out
    assert out.count("\x1b[H") == 2
    assert out.count("\n") == 2 * 4  # It never scrolls.


def test_events_are_printed_and_then_only_new_ones(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.answers = [[event(1), event(2)], [event(1), event(2)], [event(2), event(3)]]
    assert main(["events", "--watch"]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2] for line in lines] == ["n1", "n2", "n3"]
    cluster.answers = [[event(1)], [event(1), event(2)]]
    assert main(["events", "--watch", "--json"]) == 130
    shown = [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()]
    assert shown == [1, 2]


def test_what_several_nodes_tell_is_a_line_for_people_and_each_an_object_for_programs(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [event(5, 100.2, "n3"), event(5, 100.0, "n2")]
    cluster.answers = [told]
    assert main(["events"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(" joined    n2, n3: n5 joined")
    cluster.answers = [told]
    assert main(["events", "--json"]) == 0
    assert [teller["node"] for teller in json.loads(capsys.readouterr().out)] == ["n3", "n2"]


def test_events_of_the_last_while_only(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.status_commands.time.time", lambda: 10_000.0)
    for since, numbers in (([], [1, 2, 3]), (["--since", "10m"], [2, 3]), (["--since", "5"], [3])):
        cluster.answers = [[event(1, 9_399.0), event(2, 9_400.0), event(3, 9_995.0)]]
        assert main(["events", "--json", *since]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert [entry["number"] for entry in answer] == numbers


@pytest.mark.parametrize("command", COMMANDS + OTHERS)
def test_help_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"grid {command}" in out[out.index("examples:") :]
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events", "--since", "soon"), "'soon' is no time span; examples: 90, 10m, 2h, 1d"),
        (("status", "--interval", "0"), "is not a number from 0.1 to 3600"),
    ],
)
def test_wrong_argument_is_code_2_and_says_what_is_allowed(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_real_node_answers_all_of_them_and_the_port_may_be_left_out(tmp_path: Path) -> None:
    config = write_config(tmp_path, secret="a secret of this test")
    with node("--config", str(config), "--name", "solo") as started:
        port = started.wait_until_ready()
        config.write_text(config.read_text().replace("port = 0", f"port = {port}"))
        given = ("--config", str(config), "--connect", "127.0.0.1")
        for command in ("status", "members", "partitions", "tasks"):
            shown = run_grid(command, *given)
            assert (shown.returncode, shown.stderr) == (0, "")
            assert "solo" in shown.stdout
        answer = json.loads(run_grid("partitions", "--json", *given).stdout)
        assert {entry["state"] for entry in answer["partitions"]} == {"unprotected"}
        assert json.loads(run_grid("events", "--json", *given).stdout) == []
        # Else the tests with samples would prove little.
        sample, real = status_dict(1), started.status()
        assert sample.keys() == real.keys()
        assert sample["members"][0].keys() == real["members"][0].keys()
        assert sample["partition_map"].keys() == real["partition_map"].keys()
        assert sample["workers"][0].keys() == real["workers"][0].keys()
