"""The command line: exit codes, sentences, and what needs no running node."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from grid.cli import main
from grid.config import render_default
from grid.machine_secret import machine_secret
from grid.wire.security import bearer_token, derive_keys
from tests.processes.nodes import node, run_grid, write_config


def test_keygen_writes_a_secret_and_refuses_to_replace_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "cluster.toml"
    path.write_text(render_default())
    assert main(["keygen", "--config", str(path)]) == 0
    first = path.read_text()
    assert first != render_default()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["keygen", "--config", str(path)]) == 2
    assert path.read_text() == first
    assert main(["keygen", "--force", "--config", str(path)]) == 0
    assert path.read_text() != first
    assert "copy this file to every machine" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_keygen_warns_of_a_secret_that_may_be_committed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GIT_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    def warning() -> str:
        assert main(["keygen", "--force"]) == 0
        return capsys.readouterr().err

    assert warning() == ""
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert "git does not ignore this file" in warning()
    Path(".gitignore").write_text("cluster.toml\n")
    assert warning() == ""
    subprocess.run(["git", "add", "--force", "cluster.toml"], check=True)
    assert "git does not ignore this file" in warning()


def test_token_is_made_of_the_secret_and_does_not_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GRID_SECRET", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = tmp_path / "cluster.toml"
    for secret in (b"correct horse battery staple", None):  # None: this machine's.
        path.write_text(f'[cluster]\nsecret = "{secret.decode() if secret else ""}"\n')
        assert main(["token", "--config", str(path)]) == 0
        secret = secret or machine_secret()
        assert capsys.readouterr().out == bearer_token(derive_keys(secret, "grid")) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[node]\nport = 70000\n", "port"),
        ('[node]\nport = "7701"\n', "port"),
        ("[nodes]\n", "did you mean [node]"),
        ("[node\n", "line"),
    ],
)
def test_a_wrong_file_is_code_2_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
):
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    assert main(["status", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", [None, "[node]\nport = 70000\n"])
def test_of_a_wrong_file_it_is_said_that_the_environment_names_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
):
    path = tmp_path / "cluster.toml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("GRID_CONFIG", str(path))
    for command in ("status", "up"):
        assert main([command]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"grid: {path}: ")
        assert said.endswith("($GRID_CONFIG names this file)\n")
    assert main(["status", "--config", str(path)]) == 2
    assert "GRID_CONFIG" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--foo"], "grid up: unrecognized arguments: --foo; see 'grid up --help'\n"),
        (["status", "now"], "grid status: unrecognized arguments: now; see 'grid status --help'\n"),
        (["sim", "--foo"], "grid sim: unrecognized arguments: --foo; see 'grid sim --help'\n"),
        ([], "grid: the following arguments are required: COMMAND; see 'grid --help'\n"),
    ],
)
def test_what_a_command_does_not_know_is_one_line_that_names_its_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
):
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert capsys.readouterr().err == said


def test_a_wrong_flag_is_code_2(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as refused:
        main(["up", "--nodes", "0"])
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert "a whole number from 1 to 64" in said
    assert said.endswith("; see 'grid up --help'\n")
    assert said.count("\n") == 1
    assert main(["up", "--port", "70000"]) == 2
    assert "--port" in capsys.readouterr().err


def test_without_a_secret_no_other_interface_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GRID_SECRET", raising=False)
    path = tmp_path / "cluster.toml"
    path.write_text('[node]\nbind = "0.0.0.0"\n')
    assert main(["up", "--config", str(path)]) == 2
    assert "without a secret a node serves this machine only" in capsys.readouterr().err


def test_a_corpus_that_is_not_there_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", "--corpus", str(tmp_path / "none"), "--books", "2"]) == 1
    assert "no folder" in capsys.readouterr().err


@pytest.mark.parametrize("timeout", ["-1", "soon", "nan", "1e9"])
def test_a_wrong_timeout_is_code_2(capsys: pytest.CaptureFixture[str], timeout: str):
    with pytest.raises(SystemExit) as refused:
        main(["wait-safe", "--timeout", timeout])
    assert refused.value.code == 2
    assert "is not a number from 0 to 86400" in capsys.readouterr().err


def test_a_single_node_is_not_safe_and_says_what_is_needed(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config)) as started:
        started.wait_until_ready()
        waited = run_grid("wait-safe", "--timeout", "0", "--config", str(config))
        assert (waited.returncode, waited.stdout) == (1, "")
        assert waited.stderr == (
            "grid: not safe within 0 s: there is only one node; backups need a second one\n"
        )


def test_two_nodes_become_safe(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config), "--nodes", "2") as started:
        started.wait_for("partition table .*nodes=2 ")
        started.family()
        waited = run_grid("wait-safe", "--config", str(config))
        assert (waited.returncode, waited.stdout, waited.stderr) == (
            0,
            "all 256 partitions have a backup\n",
            "",
        )


def test_status_shows_a_table_and_accept_loss_has_nothing_to_do(tmp_path: Path):
    config = write_config(tmp_path)
    with node("--config", str(config), "--name", "solo") as started:
        started.wait_until_ready()
        status = run_grid("status", "--config", str(config))
        assert status.returncode == 0
        assert "solo" in status.stdout
        assert "alive" in status.stdout
        accepted = run_grid("accept-loss", "--config", str(config))
        assert (accepted.returncode, accepted.stdout) == (0, "no partition is lost\n")
