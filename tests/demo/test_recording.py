"""A screen that is recorded: all of it, after what was there, up to the bound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from grid.demo import recording
from grid.demo.recording import RecordedCommand
from grid.hosts.host import Host

DEADLINE_S = 60.0


class ThisMachine:
    """Starts programs as a host does, right here."""

    def program(self, *command: str, terminal: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            text=True,
            start_new_session=True,
        )


def record(path: Path, code: str) -> None:
    command = RecordedCommand(cast(Host, ThisMachine()), path, sys.executable, "-c", code)
    command.process.wait(timeout=DEADLINE_S)
    command.close()


def test_a_program_finds_a_terminal_of_the_promised_size_and_is_recorded(tmp_path: Path):
    path = tmp_path / "h1.console"
    record(path, "import os, sys; print(sys.stdout.isatty(), tuple(os.get_terminal_size(1)))")
    record(path, "print('again')")
    assert path.read_bytes() == b"True (100, 30)\r\nagain\r\n"


def test_what_is_beyond_the_bound_is_dropped_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "RECORDING_BYTES_MAX", 1000)
    path = tmp_path / "h1.console"
    record(path, "print('x' * 100_000)")
    record(path, "print('later')")
    assert path.read_bytes() == b"x" * 1000


def test_closing_ends_a_program_that_runs_on(tmp_path: Path):
    code = "import time; time.sleep(600)"
    command = RecordedCommand(
        cast(Host, ThisMachine()), tmp_path / "console", sys.executable, "-c", code
    )
    command.close()
    assert command.process.returncode == -9
