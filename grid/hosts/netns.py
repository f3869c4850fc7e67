"""One network namespace: made, entered, filtered, emptied, removed.

Responsible for: what the kernel offers for a single namespace, by `ip`, `nft` and setns(2).

Not responsible for: what is connected to what (switch.py), what a host is (host.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from grid.errors import GridError
from grid.hosts.owner import new_token

FOLDER = Path("/run/netns")
"""Where `ip netns` keeps its names."""

COMMANDS = ("ip", "nft", "setpriv")
DEADLINE_S = 60.0
POLL_S = 0.02

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def command(*arguments: str, text: str = "") -> str:
    """Run a program to its end with `text` as its input; return what it prints.

    Raises: GridError with its own words when it fails.
    """
    ended = subprocess.run(
        arguments, input=text, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if ended.returncode:
        raise GridError(f"{' '.join(arguments)}: {ended.stderr.strip()}\n{text}")
    return ended.stdout


@functools.cache
def unavailable() -> str:
    """Return why no hosts can be made here; empty if they can."""
    if os.geteuid():
        return "not root"
    lacking = [name for name in COMMANDS if shutil.which(name) is None]
    if lacking:
        return f"there is no {', '.join(lacking)}"
    # Root of a container may still lack the right, and a kernel the module: only trying tells.
    probe = Namespace(f"{new_token()}-probe")
    try:
        probe.create()
        probe.ip("link add name lan0 type bridge")
        probe.nft("table inet t {\nchain c {\ntype filter hook input priority 0;\n}\n}\n")
        probe.nft("table bridge t {\nchain c {\ntype filter hook forward priority 0;\n}\n}\n")
    except (OSError, GridError) as error:
        return str(error).splitlines()[0]
    finally:
        probe.remove()
    return ""


class Namespace:
    """A network namespace with a name of its own; `create` and `remove` are idempotent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._path = FOLDER / name

    def create(self) -> None:
        """Make it, with nothing but loopback in it."""
        if not self._path.exists():
            command("ip", "netns", "add", self.name)
        self.ip("link set dev lo up")

    def remove(self) -> None:
        """Kill every process in it, then let it go with its interfaces."""
        self.kill_all()
        if self._path.exists():
            command("ip", "netns", "del", self.name)

    def ip(self, *lines: str) -> None:
        """Run these lines of iproute2 in the namespace."""
        command("ip", "-netns", self.name, "-batch", "-", text="\n".join(lines))

    def nft(self, rules: str) -> None:
        """Load these rules, all of them or none."""
        with self.inside():
            command("nft", "-f", "-", text=rules)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let the calling thread be in the namespace for the length of a ``with`` block.

        Sockets opened, threads and processes started there belong to the namespace for good.
        What reads /proc/net needs the main thread: that is always the main thread's.
        """
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(self._path, os.O_RDONLY)
            try:
                _enter(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _enter(here)
        finally:
            os.close(here)

    def pids(self) -> list[int]:
        """Return the processes whose main thread is in the namespace; none if there is none."""
        try:
            own = self._path.stat()
        except FileNotFoundError:
            return []
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            # A process may end while it is looked at.
            with contextlib.suppress(OSError):
                its = (entry / "ns" / "net").stat()
                if (its.st_dev, its.st_ino) == (own.st_dev, own.st_ino):
                    found.append(int(entry.name))
        return found

    def kill_all(self) -> None:
        """Kill the processes in the namespace, those they start meanwhile too, until none is left.

        Raises: GridError.
        """
        deadline_s = time.monotonic() + DEADLINE_S
        while pids := [pid for pid in self.pids() if pid != os.getpid()]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline_s:
                raise GridError(f"processes {pids} of {self.name} survive SIGKILL")
            time.sleep(POLL_S)


def _enter(namespace_fd: int) -> None:
    # os.setns() exists from Python 3.12 on.
    if _libc.setns(namespace_fd, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
