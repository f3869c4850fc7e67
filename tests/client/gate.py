"""A gate that tasks in other processes wait at until the test opens it: a file lock."""

from __future__ import annotations

import fcntl
from pathlib import Path


class Gate:
    """Closed from its creation until `open`."""

    def __init__(self, folder: Path) -> None:
        """Take the lock exclusively."""
        self.path = folder / "gate"
        self._file = self.path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def open(self) -> None:
        """Let everybody through."""
        self._file.close()


def pass_gate(path: Path) -> None:
    """Wait until the gate is open. Runs in: worker."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
