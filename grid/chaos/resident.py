"""The resident memory of nodes, process by process."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import psutil


def resident_bytes(roots: Mapping[str, int]) -> dict[str, int]:
    """Return the size of each process of these process trees, under ``NODE/NAME``.

    Args:
        roots: the process id on top of each tree, by the name of its node.
    """
    sizes: dict[str, int] = {}
    for node, pid in roots.items():
        with contextlib.suppress(psutil.Error):  # It has just ended.
            root = psutil.Process(pid)
            sizes[f"{node}/supervisor"] = root.memory_info().rss
            for child in root.children():
                with contextlib.suppress(psutil.Error):
                    # A worker that was replaced is another process.
                    name = f"{node}/{child.name().removeprefix('grid-')} ({child.pid})"
                    sizes[name] = child.memory_info().rss
    return sizes
