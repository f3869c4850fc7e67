"""The ratios of all rows as one picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Row

BAR_INCHES = 0.16
COLOURS = {
    "redis": "#c6302b",
    "redis tcp": "#e3a09d",
    "memcached": "#2f7f5f",
    "hazelcast": "#2b5fa8",
    "json": "#8a6d3b",
}
OTHER_COLOUR = "#888888"
"""Of grid itself, smaller."""
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw a bar for each row and peer on a logarithmic axis, and a mark for each target."""
    try:
        from matplotlib import pyplot  # noqa: PLC0415  # only this needs it
    except ImportError:
        print("no picture: it needs matplotlib (pip install '.[bench]')", file=sys.stderr)
        return
    drawn = [row for row in rows if row.ratio]
    bars = sum(len(row.ratio) + 1 for row in drawn)
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + bars * BAR_INCHES), layout="constrained")
    place = 0
    names_at: list[float] = []
    labelled: set[str] = set()
    for row in drawn:
        first = place
        for peer, ratio in row.ratio.items():
            label = peer if peer not in labelled else None
            labelled.add(peer)
            colour = COLOURS.get(peer, OTHER_COLOUR)
            axes.barh(place, ratio - 1, left=1, height=0.9, color=colour, label=label)
            axes.annotate(
                f"{ratio:.2f}",
                (ratio, place),
                xytext=(3 if ratio >= 1 else -3, 0),
                textcoords="offset points",
                ha="left" if ratio >= 1 else "right",
                va="center",
                fontsize=6,
            )
            if row.target is not None and row.target_peer in (None, peer):
                axes.vlines(row.target, place - 0.5, place + 0.5, color="black", linewidth=2)
            place += 1
        names_at.append((first + place - 1) / 2)
        place += 1
    axes.axvline(1.0, color="grey", linewidth=0.8)
    axes.set(xscale="log", xlabel="times better than the peer (black: figure to reach)")
    axes.set_yticks(names_at, [row.name for row in drawn], fontsize=7)
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.invert_yaxis()
    ratios = [ratio for row in drawn for ratio in (*row.ratio.values(), row.target or 1.0)]
    axes.set_xlim(min(ratios) / 1.3, max(ratios) * 1.3)
    axes.margins(y=0.01)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")
