"""``grid sim``: small runs, the figures as JSON, exit codes, and sentences for wrong arguments."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import orjson
import pytest

from grid.cli import main
from grid.membership.membership import Membership

DOCUMENTED = {
    "nodes",
    "minutes",
    "loss",
    "seed",
    "node_hours",
    "first_detection_s",
    "all_know_s",
    "datagrams_per_member_period",
    "max_datagram_bytes",
    "false_deaths",
    "wall_s",
    "trace_hash",
}
EVERYTHING_IS_LOST = (
    "--nodes",
    "3",
    "--minutes",
    "1",
    "--loss",
    "1",
    "--stalls",
    "0",
    "--seed",
    "7",
)


def simulated(tmp_path: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run ``grid sim`` and return what it wrote."""
    path = tmp_path / "figures.json"
    assert main(["sim", *arguments, "--json", str(path)]) == code
    document = orjson.loads(path.read_bytes())
    assert isinstance(document, dict)
    return document


def test_figures_have_the_documented_names_and_types(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = simulated(
        tmp_path, "--nodes", "4", "--minutes", "2", "--loss", "0.05", "--seed", "3"
    )
    assert document.keys() >= DOCUMENTED
    assert (document["nodes"], document["minutes"], document["loss"], document["seed"]) == (
        *(4, 2.0),
        *(0.05, 3),
    )
    for name in ("first_detection_s", "all_know_s"):
        assert set(document[name]) == {"p50", "max"}
        assert 4.5 < document[name]["p50"] <= document[name]["max"] < 10.0
    assert document["node_hours"] == pytest.approx(4 * 2 / 60, rel=0.2)
    assert 1.7 < document["datagrams_per_member_period"] <= 3.5
    assert 0 < document["max_datagram_bytes"] <= 1200
    assert document["false_deaths"] == 0
    assert document["wall_s"] >= 0
    assert len(bytes.fromhex(document["trace_hash"])) == 16
    shown = capsys.readouterr().out
    assert document["trace_hash"] in shown
    assert "first_detection_s p50" in shown


def test_run_in_which_nobody_dies_has_no_times(tmp_path: Path) -> None:
    document = simulated(tmp_path, "--nodes", "1", "--minutes", "0.5")
    assert document["first_detection_s"] == {"p50": None, "max": None}
    assert document["all_know_s"] == {"p50": None, "max": None}


def test_same_seed_gives_the_same_trace_and_another_seed_another(tmp_path: Path) -> None:
    small = ("--nodes", "3", "--minutes", "0.5")
    documents = [simulated(tmp_path, *small, "--seed", seed) for seed in ("5", "5", "6")]
    for document in documents:
        del document["wall_s"]
    assert documents[0] == documents[1]
    assert documents[0]["trace_hash"] != documents[2]["trace_hash"]


def test_false_death_is_exit_code_1_explained_and_can_be_seen_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = simulated(tmp_path, *EVERYTHING_IS_LOST, code=1)
    assert document["false_deaths"] >= 1
    explained = capsys.readouterr().err
    assert "false death at " in explained
    (again,) = [line for line in explained.splitlines() if line.startswith("again: grid ")]
    repeated = simulated(tmp_path, *shlex.split(again.removeprefix("again: grid sim ")), code=1)
    assert repeated["trace_hash"] == document["trace_hash"]


def test_replay_line_of_unround_figures_replays_the_same_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--nodes", "10", "--minutes", "0.5123457", "--loss", "0.9912345678")
    document = simulated(tmp_path, *wanted, "--stalls", "12.25", "--seed", "2147483647", code=1)
    lines = capsys.readouterr().err.splitlines()
    (again,) = [line for line in lines if line.startswith("again: grid ")]
    repeated = simulated(tmp_path, *shlex.split(again.removeprefix("again: grid sim ")), code=1)
    assert repeated["trace_hash"] == document["trace_hash"]


def test_death_that_is_never_noticed_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Membership, "handle_timer", lambda *_, **__: [])
    document = simulated(tmp_path, "--nodes", "3", "--minutes", "1", "--stalls", "0", code=1)
    assert document["undetected"] >= 1
    assert document["false_deaths"] == 0
    assert "deaths were not known to all" in capsys.readouterr().err


def test_hours_run_seed_after_seed_until_enough_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--hours", "0.2", "--minutes", "1", "--nodes", "3")
    document = simulated(tmp_path, *arguments)
    assert document["node_hours"] >= 0.2
    assert document["runs"] >= 4
    assert document["failed"] == []
    assert "0 false deaths" in capsys.readouterr().out
    assert simulated(tmp_path, *arguments) == document


def test_hours_choose_sizes_by_themselves(tmp_path: Path) -> None:
    document = simulated(tmp_path, "--hours", "0.01", "--minutes", "0.1", "--seed", "2")
    assert document["node_hours"] >= 0.01


def test_failure_among_hours_is_exit_code_1_and_names_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--hours", "0.05", "--minutes", "1", "--nodes", "3", "--loss", "1")
    document = simulated(tmp_path, *arguments, code=1)
    assert document["false_deaths"] >= 1
    failed = document["failed"][0]
    assert failed.keys() >= DOCUMENTED
    captured = capsys.readouterr()
    assert f"--seed {failed['seed']}" in captured.err
    assert "false deaths" in captured.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "0"], "'0' is not a whole number from 1 to 5000"),
        (["--nodes", "5001"], "whole number from 1 to 5000"),
        (["--nodes", "2.5"], "whole number"),
        (["--nodes", "many"], "whole number"),
        (["--minutes", "0"], "is not a number from 0.1 to 10000"),
        (["--minutes", "nan"], "is not a number"),
        (["--loss", "1.1"], "is not a number from 0 to 1"),
        (["--loss", "5%"], "is not a number"),
        (["--loss=-0.1"], "is not a number"),
        (["--seed=-1"], "whole number"),
        (["--hours", "0"], "is not a number from 0.01"),
        (["--stalls", "1e9"], "is not a number"),
        (["--nodes"], "expected one argument"),
        (["--what"], "unrecognized arguments"),
    ],
)
def test_wrong_argument_is_code_2_and_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["sim", *arguments])
    assert refused.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("grid")
    assert said in last


def test_file_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no such folder" / "figures.json"
    with pytest.raises(SystemExit) as refused:
        main(["sim", "--nodes", "1", "--minutes", "0.1", "--json", str(path)])
    assert refused.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"'{path}' cannot be written" in last
