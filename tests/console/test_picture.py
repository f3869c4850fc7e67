"""The picture in the README is of the console as it is now."""

from __future__ import annotations

import re

from .picture import PATH, svg


def texts_of(picture: str) -> list[str]:
    """Return what stands in the picture; the frame around it is rich's, and changes with it."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def test_picture_shows_the_view_as_it_is() -> None:
    assert any("desk-3" in text for text in texts_of(svg()))
    how_to = "write it anew with: python -m tests.console.picture"
    assert texts_of(PATH.read_text(encoding="utf-8")) == texts_of(svg()), how_to


def test_picture_is_small_and_needs_nothing_from_elsewhere() -> None:
    text = PATH.read_text(encoding="utf-8")
    assert len(text) < 64 * 1024
    assert set(re.findall(r"https?://[^\"\s)]+", text)) == {
        "http://www.w3.org/2000/svg",  # What it is.
        "https://www.textualize.io",  # Who makes rich, in a comment.
    }
