"""``grid chaos``: a small real run, its document and exit code; interrupted; wrong arguments."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import orjson
import psutil
import pytest

from grid.cli import main
from grid.hosts.node_process import DEADLINE_S
from tests.chaos.test_report import ASKED_FOR

SMALL = ("--nodes", "3", "--ballast", "500", "--rate", "1500", "--seed", "4")


def test_small_run_with_a_kill_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    wanted = ("--kill", "--restart", "--writes", "300", "--kills", "1", "--json", str(path))
    code = main(["chaos", *SMALL, *wanted])
    captured = capsys.readouterr()
    document = orjson.loads(path.read_bytes())
    assert (code, document["verdict"]) == (0, "clean"), captured.err
    assert list(document)[: len(ASKED_FOR)] == ASKED_FOR
    assert (document["nodes"], document["seed"], document["kills"]) == (3, 4, 1)
    assert document["acknowledged"] >= 300
    assert document["applies"] >= document["applies_acknowledged"] >= 1
    assert document["restarts"] == 1
    assert "killed node-" in captured.err
    assert "verdict" in captured.out


def test_interrupted_run_says_what_it_has_found_and_leaves_nothing_behind() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "grid", "chaos", *SMALL, "--minutes", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as chaos:
        assert chaos.stderr is not None
        assert "starting 3 nodes" in chaos.stderr.readline()
        assert "working" in chaos.stderr.readline()
        family = psutil.Process(chaos.pid).children(recursive=True)
        chaos.send_signal(signal.SIGINT)
        shown, _ = chaos.communicate(timeout=DEADLINE_S)
    assert chaos.returncode == 130
    assert "was_cut_short" in shown
    assert len(family) >= 6
    _, alive = psutil.wait_procs(family, timeout=DEADLINE_S)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "1"], "whole number from 2 to 32"),
        (["--minutes", "0"], "number from 0.01"),
        (["--rate", "nan"], "is not a number"),
        (["--seed=-1"], "whole number"),
        (["--json", "/no such folder/file"], "cannot be written"),
    ],
)
def test_wrong_argument_is_code_2_and_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["chaos", *arguments])
    assert refused.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
