"""A node as a person starts it: ``grid up`` in a process, watched by its printed lines.

Responsible for: starting it, waiting for what it says, knowing its processes, killing them all.

Not responsible for: where it runs (``host.py``), and asking the node itself anything.
"""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import psutil

from grid.errors import GridError

DEADLINE_S = 60.0
"""Generous: the machine may be busy with other things. Nothing normal takes a tenth of it."""


class NodeProcess:
    """A ``grid up`` in a process of its own."""

    def __init__(
        self,
        *arguments: str,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, by `prefix` if given; its output is read all the time."""
        self.arguments = arguments
        self.port = 0
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "grid", "up", *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._new_lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: dict[int, psutil.Process] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new_lines.put(line.rstrip())
        self._new_lines.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match of `pattern` in a line not looked at yet.

        Raises: GridError with all it has printed, if it ends before or says no such thing.
        """
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._new_lines.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                raise GridError(f"no {pattern!r} yet in:\n" + "\n".join(self.lines)) from None
            if line is None:
                raise GridError(f"ended without {pattern!r}:\n" + "\n".join(self.lines))
            self.lines.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def so_far(self) -> str:
        """Return what it has printed by now, to explain a failure; `wait_for` sees none of it."""
        with contextlib.suppress(queue.Empty):
            while (line := self._new_lines.get_nowait()) is not None:
                self.lines.append(line)
        return "\n".join(self.lines)

    def wait_until_ready(self) -> int:
        """Wait until the node serves its partitions; return its port."""
        self.port = int(self.wait_for(r"listening on [\d.]+:(\d+)")[1])
        self.wait_for("ready")
        self.family()
        return self.port

    def family(self) -> list[psutil.Process]:
        """Return all processes of the node now, and remember them until it is closed."""
        parent = psutil.Process(self.process.pid)
        now = [parent, *parent.children(recursive=True)]
        self._seen.update({process.pid: process for process in now})
        return now

    def end(self) -> int:
        """Wait for the exit code."""
        return self.process.wait(timeout=DEADLINE_S)

    def output(self) -> str:
        """Return everything printed, once the node has ended."""
        while (line := self._new_lines.get(timeout=DEADLINE_S)) is not None:
            self.lines.append(line)
        return "\n".join(self.lines)

    def close(self) -> None:
        """Kill it, and every process that was ever seen of it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.family()
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.process.kill()
        self.process.wait()
