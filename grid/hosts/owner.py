"""Whose hosts these are: the names of what is made tell the process that made it.

Responsible for: tokens, which begin every name, and whether the owner of a name is gone.

Not responsible for: removing what has no owner any more (``leftovers.py``).

Theory of operation. A process id is given out again, also to another demonstration; the time at
which a process has started is not, together with its id. Who is in another pid namespace cannot be
seen from here, so that is in the name as well, and what is from there is left alone.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

_TOKEN = re.compile(r"grid-(\d+)-(\d+)-(\d+)-[0-9a-f]{8}-.+")
_STATE, _STARTED = 0, 19
"""Fields of /proc/PID/stat, counted from the one behind the program's name (proc_pid_stat(5))."""


def new_token() -> str:
    """Return the beginning of the names of what this process is about to make."""
    pid = os.getpid()
    return f"grid-{pid}-{_started(pid)}-{_pid_namespace()}-{secrets.token_hex(4)}"


def is_orphaned(name: str) -> bool:
    """Whether `name` begins with a token whose owner is gone, for sure."""
    found = _TOKEN.fullmatch(name)
    if found is None:
        return False
    pid, started, namespace = map(int, found.groups())
    return namespace == _pid_namespace() and _started(pid) != started


def _started(pid: int) -> int:
    """Return when a process has started, in ticks since the machine did; 0: there is none."""
    try:
        # The name of a program may hold blanks and brackets; nothing behind it does.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[_STATE] in "ZX" else int(fields[_STARTED])


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino
