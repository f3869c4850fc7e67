"""How every script here measures: interleaved rounds, medians, ratios, one JSON form.

The machines that run this are shared and noisy: absolute times drift by half between two
minutes. What is compared is run in turn, round by round, pinned to the same cores, and only
medians of rounds and their ratios are quoted.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Row:
    """One comparison. A ratio above 1 means that grid is better; `target` is for `ratio`."""

    name: str
    grid: float
    unit: str
    peers: Mapping[str, float]
    ratio: Mapping[str, float]
    target: float | None = None
    notes: str = ""
    ok: bool | None = field(init=False)

    def __post_init__(self) -> None:
        """Judge the worst ratio against the target."""
        self.ok = None if self.target is None else min(self.ratio.values()) >= self.target


def microseconds_per_call(call: Callable[[], object], calls: int) -> float:
    """Run `call` that often and return the mean time of one."""
    start_ns = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - start_ns) / calls / 1000


def interleaved(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all measures in turn, `rounds` times, after one round that does not count."""
    results: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        for name, measure in measures.items():
            value = measure()
            if number:
                results[name].append(value)
    return results


def median_ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the round-by-round ratios."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def publish(title: str, rows: list[Row], json_path: Path | None) -> None:
    """Print the table, and write the JSON document if asked."""
    table = Table(title=title)
    for heading in ("row", "grid", "peers", "ratio", "target", "ok"):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            row.name,
            f"{row.grid:.1f} {row.unit}",
            ", ".join(f"{name} {value:.1f}" for name, value in row.peers.items()),
            ", ".join(f"{value:.2f}" for value in row.ratio.values()),
            "" if row.target is None else f"{row.target:.2f}",
            {None: "", True: "yes", False: "NO"}[row.ok],
        )
    Console().print(table)
    if json_path is not None:
        document = {"machine": machine(), "rows": rows}
        json_path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
