"""What a program that was killed (SIGKILL) has left of its hosts, found by name and removed.

Not here: whose a name is (``owner.py``); what ends in order and takes its hosts down itself
(``network.py``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grid.errors import GridError
from grid.hosts import cgroup
from grid.hosts.cgroup import CpuGroup
from grid.hosts.netns import FOLDER, Namespace
from grid.hosts.owner import is_orphaned


def remove_leftovers() -> None:
    """Remove namespaces, control groups and folders whose owner is gone, with what runs in them.

    As far as possible: others may do so at the same time, and what stays hinders nobody.
    """
    for path in _orphans(FOLDER):
        with contextlib.suppress(GridError, OSError):
            Namespace(path.name).remove()
    for path in _orphans(cgroup.folder()):
        with contextlib.suppress(OSError):
            CpuGroup(path.name, 1.0).remove()
    for path in _orphans(Path(tempfile.gettempdir())):
        # Everybody may write there, and give a folder such a name.
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.geteuid():
                shutil.rmtree(path, ignore_errors=True)


def _orphans(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield from (path for path in folder.glob("grid-*") if is_orphaned(path.name))
