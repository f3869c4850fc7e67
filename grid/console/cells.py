"""Small pieces of the console's picture: numbers, times and curves in a few characters.

Pure. Not here: where they stand on the screen (``view.py``, ``member_rows.py``,
``partition_grid.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

STEPS = "▁▂▃▄▅▆▇█"
"""The heights of a sparkline."""

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


def compact(number: int) -> str:
    """Return `number` in at most five characters up to 999 billion, e.g. ``9999``, ``12.3k``."""
    if number < 10_000:
        return str(number)
    for size, unit in ((1e3, "k"), (1e6, "M")):
        # From 999.5 on, three digits would be rounded up to 1e+03.
        if number / size < 999.5:
            return f"{number / size:.3g}{unit}"
    return f"{number / 1e9:.3g}G" if number / 1e9 < 999.5 else f"{number / 1e9:.0f}G"


def percent(value: float) -> str:
    """Return a whole percentage in at most four characters, even if summed over many cores."""
    return f"{min(value, 999.0):.0f}%"


def rate(per_s: float) -> str:
    """Return a rate that is exact where it is small."""
    return f"{per_s:.1f}" if per_s < 100 else compact(round(per_s))


def duration(seconds: float) -> str:
    """Return a time in at most four characters up to 999 days, e.g. ``59s``, ``47h``."""
    whole = int(seconds)
    if whole < MINUTE_S:
        return f"{whole}s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S}m"
    if whole < 2 * DAY_S:
        return f"{whole // HOUR_S}h"
    return f"{whole // DAY_S}d"


def sparkline(values: Sequence[float], width: int, highest: float) -> str:
    """Return the last `width` values as a curve, the newest rightmost; `highest` is its top."""
    shown = values[-width:] if width > 0 else []
    top = len(STEPS) - 1
    scale = top / highest if highest > 0 else 0.0
    curve = "".join(STEPS[min(top, max(0, round(value * scale)))] for value in shown)
    return curve.rjust(width)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` in exactly `width` cells: cut with an ellipsis, or padded."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    padding = " " * (width - length)
    return padding + text if right else text + padding
