"""Programs of several modules in a folder, importable for the length of a test."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write sources by their path below the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@contextlib.contextmanager
def on_path(*folders: Path) -> Iterator[None]:
    """Let the modules of folders be importable, and forget afterwards which of them were loaded."""
    paths = [str(folder) for folder in folders]
    loaded = set(sys.modules)
    sys.path[:0] = paths
    try:
        yield
    finally:
        for path in paths:
            sys.path.remove(path)
        for name in set(sys.modules) - loaded:
            origin = getattr(sys.modules[name].__spec__, "origin", None) or paths[0]
            if origin.startswith(tuple(paths)):
                del sys.modules[name]
