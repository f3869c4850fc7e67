"""One secret for each user and machine, however many processes ask for it first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grid.errors import StartError
from grid.machine_secret import machine_secret, state_folder

PATIENCE_S = 60.0
ASK = """
import sys
from grid.machine_secret import machine_secret
print("ready", flush=True)
sys.stdin.readline()
print(machine_secret().decode())
"""


@pytest.fixture(name="folder")
def fixture_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The state folder of a user who has none yet."""
    base = tmp_path / "state" / "of" / "user"
    monkeypatch.setenv("XDG_STATE_HOME", str(base))
    return base / "grid"


def test_secret_is_made_at_first_use_and_kept(folder: Path) -> None:
    secret = machine_secret()
    assert len(bytes.fromhex(secret.decode())) == 32
    assert machine_secret() == secret
    assert [path.read_bytes() for path in folder.iterdir()] == [secret]


def test_secret_is_for_its_owner_only(folder: Path) -> None:
    machine_secret()
    modes = [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())]
    assert modes == [0o700, 0o600]


def test_users_have_different_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = set()
    for user in ("first", "second"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / user))
        secrets.add(machine_secret())
    assert len(secrets) == 2


@pytest.mark.parametrize("base", [None, ""])
def test_folder_is_in_the_home_when_nothing_else_is_said(
    base: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if base is not None:
        monkeypatch.setenv("XDG_STATE_HOME", base)
    assert state_folder() == tmp_path / ".local" / "state" / "grid"


def test_processes_that_ask_at_once_get_one_secret(folder: Path) -> None:
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    try:
        for asker in askers:
            assert asker.stdout is not None
            assert asker.stdout.readline() == "ready\n"
        for asker in askers:
            assert asker.stdin is not None
            asker.stdin.write("\n")
            asker.stdin.flush()
        answers = {asker.communicate(timeout=PATIENCE_S)[0].strip() for asker in askers}
    finally:
        for asker in askers:
            asker.kill()
            asker.communicate()
    assert answers == {machine_secret().decode()}
    assert len(list(folder.iterdir())) == 1, "no draft is left behind"


def test_secret_of_the_quicker_process_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link_too_late(draft: Path, path: Path) -> None:
        path.write_bytes(b"made by another process, quicker")
        path.chmod(0o600)
        raise FileExistsError

    monkeypatch.setattr("grid.machine_secret.os.link", link_too_late)
    assert machine_secret() == b"made by another process, quicker"
    assert len(list(folder.iterdir())) == 1


def test_folder_that_cannot_be_used_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A file in the way stops even root, whom no permission stops.
    (tmp_path / "state").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(StartError) as caught:
        machine_secret()
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert sentence.startswith(f"cannot keep this machine's secret in {tmp_path}")
    assert sentence.endswith("set cluster.secret (grid keygen) or XDG_STATE_HOME")


def test_secret_that_cannot_be_read_is_told_in_one_sentence(folder: Path) -> None:
    (folder / "machine-secret").mkdir(parents=True)
    with pytest.raises(StartError, match="Is a directory"):
        machine_secret()
