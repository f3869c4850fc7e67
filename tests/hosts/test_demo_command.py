"""``grid demo``: a small real run of everything, one that is interrupted, wrong arguments."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from grid.books.pseudonovel import write
from grid.cli import main
from grid.demo_command import DEMOS
from grid.hosts.network import left_behind
from grid.hosts.node_process import DEADLINE_S

BOOKS = 3
CHARACTERS = 150_000


def test_small_run_of_all_writes_the_figures_and_the_recordings(
    hosts_are_possible: None, quotas_are_possible: None, tmp_path: Path
):
    for number in range(BOOKS):
        (tmp_path / f"{number}.txt").write_text(write(number)[:CHARACTERS])
    json, recordings = tmp_path / "figures.json", tmp_path / "consoles"
    arguments = ["--corpus", str(tmp_path), "--books", str(BOOKS), "--hosts", "3", "--quota", "1"]
    files = ["--json", str(json), "--recordings", str(recordings)]
    ended = subprocess.run(
        [sys.executable, "-m", "grid", "demo", "all", *arguments, *files],
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE_S,
        check=False,
    )
    document = orjson.loads(json.read_bytes())
    figures = document["figures"]
    assert document["demo"] == "all"
    assert tuple(figures) == DEMOS, ended.stdout + ended.stderr
    # Of so few books on a busy machine no time is promised; what is right or wrong is.
    assert ended.returncode == (0 if document["passed"] else 1)
    assert figures["formation"]["members"] == 3
    assert figures["speedup"]["results_equal"] is True
    assert figures["failure"]["results_equal"] is True
    assert figures["failure"]["entries_lost"] == figures["rejoin"]["entries_lost"] == 0
    assert figures["rejoin"]["partitions_owned"] >= 256 // 3
    assert "processes killed after" in ended.stdout
    # The one that was killed and came back has both consoles in its file.
    assert {path.name for path in recordings.iterdir()} == {f"h{n}.console" for n in (1, 2, 3)}
    assert all("members alive" in path.read_text() for path in recordings.iterdir())
    check_nothing_is_left(ended.stdout)


def check_nothing_is_left(narration: str) -> None:
    """Look for whatever has the token that the path of the hosts' cluster.toml begins with."""
    token = re.search(r"--config \S*/(grid(?:-\d+){3}-[0-9a-f]{8})-", narration)
    assert token is not None, narration
    assert left_behind(token[1]) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_demo_leaves_nothing_behind(
    hosts_are_possible: None, quotas_are_possible: None, number: signal.Signals, tmp_path: Path
):
    with subprocess.Popen(
        [sys.executable, "-m", "grid", "demo", "rejoin", "--recordings", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        narration = ""
        while "h4$" not in narration:
            line = demo.stdout.readline()
            assert line, narration
            narration += line
        demo.send_signal(number)
        narration += demo.communicate(timeout=DEADLINE_S)[0]
    assert demo.returncode == 130
    check_nothing_is_left(narration)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: demo"),
        (["dance"], "invalid choice: 'dance'"),
        (["all", "--hosts", "1"], "whole number from 2 to 32"),
        (["all", "--quota", "0.01"], "number from 0.1 to 64"),
        (["all", "--json", "/no such folder/file"], "cannot be written"),
    ],
)
def test_wrong_argument_is_code_2_and_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
):
    with pytest.raises(SystemExit) as refused:
        main(["demo", *arguments])
    assert refused.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_what_a_machine_lacks_is_said_in_one_sentence_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("grid.hosts.netns.unavailable", lambda: "not root")
    assert main(["demo", "all"]) == 1
    assert capsys.readouterr().err == (
        "grid: hosts in miniature need root, iproute2 and nftables: not root; on real machines "
        "none of that is needed: the README says what to type there\n"
    )


def test_folder_that_cannot_hold_recordings_is_named(
    hosts_are_possible: None,
    quotas_are_possible: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    blocked = tmp_path / "file"
    blocked.touch()
    assert main(["demo", "formation", "--recordings", str(blocked)]) == 1
    assert capsys.readouterr().err == f"grid: no recordings in {blocked}: File exists\n"
