"""Real novels for tests, where this checkout has them beside it."""

from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "books"

needs_novels = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"there is no folder of novels at {FOLDER}"
)


@cache
def novel(file: str) -> str:
    """Return the text of a novel."""
    return (FOLDER / file).read_text(encoding="utf-8")
