"""Pictures as text, and the stored ones. GRID_UPDATE_SNAPSHOTS=1 in the environment rewrites them.

To see what has changed: ``GRID_UPDATE_SNAPSHOTS=1 pytest tests/console; git diff tests/console``.
"""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

SNAPSHOTS = Path(__file__).parent / "snapshots"
HOW_TO = "rewrite it with: GRID_UPDATE_SNAPSHOTS=1 pytest tests/console"


def screen(renderable: RenderableType, width: int, height: int = 24) -> list[str]:
    """Return the lines a terminal of that size would show, trailing blanks included."""
    stream = StringIO()
    console = Console(file=stream, width=width, height=height, color_system=None, highlight=False)
    console.print(renderable)
    return stream.getvalue().splitlines()


def ansi(renderable: RenderableType, **environment: str) -> str:
    """Return the output of a terminal with colours, unless `environment` forbids them."""
    stream = StringIO()
    console = Console(
        file=stream,
        width=120,
        height=40,
        force_terminal=True,
        color_system="truecolor",
        _environ=environment,
    )
    console.print(renderable)
    return stream.getvalue()


def assert_snapshot(name: str, lines: list[str]) -> None:
    """Compare `lines` with the stored ones; blanks at line ends cannot be seen."""
    text = "".join(f"{line.rstrip()}\n" for line in lines)
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("GRID_UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    stored = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == stored, f"{path.name} looks different now; if that is meant, {HOW_TO}"
