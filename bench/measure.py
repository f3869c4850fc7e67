"""How every script here measures: interleaved rounds, medians, ratios, one JSON form.

The machines that run this are shared and noisy: absolute times drift by half between two
minutes. What is compared is run in turn, round by round, pinned to the same cores, and only
medians of rounds and their ratios are quoted.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Row:
    """One comparison. A ratio above 1 means that grid is better; `target` is for `ratio`.

    `target_peer` names the peer that the target is for; without a name it is for all of them,
    and the row is not judged where the named one was not measured. `floors` are for other
    peers, and judged apart, by `behind`.
    """

    name: str
    grid: float
    unit: str
    peers: Mapping[str, float]
    ratio: Mapping[str, float]
    target: float | None = None
    notes: str = ""
    target_peer: str | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    ok: bool | None = field(init=False)

    def __post_init__(self) -> None:
        """Judge the ratio of the named peer, or the worst one, against the target."""
        judged = [value for peer, value in self.ratio.items() if self.target_peer in (None, peer)]
        is_open = self.target is None or (self.target_peer is not None and not judged)
        self.ok = None if is_open else min(judged) >= (self.target or 0.0)

    @property
    def behind(self) -> list[str]:
        """The measured peers whose ratio is under their floor."""
        return [peer for peer, least in self.floors.items() if self.ratio.get(peer, least) < least]

    def document(self) -> dict[str, Any]:
        """Return the row as the JSON form has it."""
        keys = ("name", "grid", "unit", "peers", "ratio", "target", "ok")
        document = {key: getattr(self, key) for key in keys}
        return document | ({"notes": self.notes} if self.notes else {})


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


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the round-by-round ratios."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def pin_threads(pid: int, cores: Iterable[int]) -> None:
    """Let all present threads of a process run on `cores` only; later ones inherit that."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # It ended meanwhile.
            os.sched_setaffinity(int(task.name), cores)


def pin(client_core: int, server_core: int, pids: Iterable[int]) -> None:
    """Put this process on one core, the others on another."""
    pin_threads(os.getpid(), {client_core})
    for pid in pids:
        pin_threads(pid, {server_core})


def local_processes() -> list[int]:
    """Return the processes this one has started, theirs included."""
    return [child.pid for child in psutil.Process().children(recursive=True)]


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
            ", ".join(f"{name} {value:.2f}" for name, value in row.ratio.items()),
            "" if row.target is None else f"{row.target:.2f}",
            {None: "", True: "yes", False: "NO"}[row.ok],
        )
    Console().print(table)
    if json_path is not None:
        document = {"machine": machine(), "rows": [row.document() for row in rows]}
        json_path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
