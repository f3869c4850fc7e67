"""The console as a picture for the README: ``python -m tests.console.picture`` writes it anew.

It is the real view of a moment of the demonstrations, so it cannot show what the console does not.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from grid.console.view import render

from .moments import death

PATH = Path(__file__).resolve().parents[2] / "grid" / "console" / "console.svg"
WIDTH, HEIGHT = 118, 30
FONTS = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)


def svg() -> str:
    """Return the picture; the same for the same view."""
    console = Console(
        file=StringIO(),
        record=True,
        width=WIDTH,
        height=HEIGHT,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        _environ={},
    )
    console.print(render(death(), WIDTH, HEIGHT))
    text = console.export_svg(title="bin/grid up", unique_id="grid")
    return FONTS.sub("", text)  # Whoever reads the page asks nobody else for a font.


if __name__ == "__main__":
    PATH.write_text(svg(), encoding="utf-8")
