"""What ``grid bench`` prints and writes: a table for people, a document for programs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grid.books.corpus import Corpus
from grid.books.run import ParallelRun


class Repeat:
    """One serial and one parallel run of the same books."""

    def __init__(self, serial_s: float, parallel: ParallelRun, *, is_equal: bool) -> None:
        """Keep the pair; `is_equal`: both reports are the same."""
        self.serial_s = serial_s
        self.parallel = parallel
        self.is_equal = is_equal

    @property
    def speedup(self) -> float:
        """Serial over parallel time."""
        return self.serial_s / self.parallel.wall_s


def document_of(
    corpus: Corpus, repeats: Sequence[Repeat], *, nodes: int, workers: int, cores: int
) -> dict[str, Any]:
    """Return the figures: medians over the repeats; `per_node` is of the median repeat."""
    ordered = sorted(repeats, key=lambda repeat: repeat.speedup)
    middle = ordered[len(ordered) // 2].parallel
    speedup = statistics.median(repeat.speedup for repeat in repeats)
    runs = [repeat.parallel for repeat in repeats]
    return {
        "books": len(corpus.books),
        "corpus": corpus.name,
        "words": middle.report.words,
        "nodes": nodes,
        "workers": workers,
        "cores": cores,
        "serial_s": round(statistics.median(repeat.serial_s for repeat in repeats), 3),
        "parallel_s": round(statistics.median(run.wall_s for run in runs), 3),
        "speedup": round(speedup, 3),
        "efficiency": round(speedup / min(cores, workers), 3),
        "cores_busy": round(statistics.median(r.worker_cpu_s / r.wall_s for r in runs), 3),
        "results_equal": all(repeat.is_equal for repeat in repeats),
        "tasks_retried": sum(run.tasks_retried for run in runs),
        "per_node": [
            {"name": share.name, "parts": share.parts, "seconds": round(share.seconds, 3)}
            for share in middle.shares
        ],
        "load_s": round(statistics.median(run.load_s for run in runs), 3),
        "merge_cpu_s": round(statistics.median(run.merge_cpu_s for run in runs), 3),
        "merge_wall_s": round(statistics.median(run.merge_wall_s for run in runs), 3),
        "repeats": [
            {
                "serial_s": round(repeat.serial_s, 3),
                "parallel_s": round(repeat.parallel.wall_s, 3),
                "speedup": round(repeat.speedup, 3),
            }
            for repeat in repeats
        ],
    }


def render(corpus: Corpus, document: dict[str, Any], run: ParallelRun) -> RenderableType:
    """Return the tables and the verdict for a person."""
    nodes = Table(title="Work per node")
    for heading in ("node", "parts", "seconds"):
        nodes.add_column(heading, justify="left" if heading == "node" else "right")
    for share in document["per_node"]:
        nodes.add_row(share["name"], str(share["parts"]), f"{share['seconds']:.2f}")
    found = Table(title="What the analysis found", show_lines=False, expand=True)
    found.add_column("book", no_wrap=True, overflow="ellipsis")
    for report in run.report.books:
        found.add_row(Text(report.one_line(corpus.books[report.book_index].title)))
    return Group(nodes, found, Text(verdict(document)))


def verdict(document: dict[str, Any]) -> str:
    """Return the figures in sentences."""
    share = (document["load_s"] + document["merge_cpu_s"]) / document["parallel_s"]
    rate = document["words"] / document["parallel_s"]
    lines = [
        f"{document['corpus']}: {document['words']:,} words on {document['nodes']} nodes, "
        f"{document['workers']} workers, {document['cores']} cores.",
        f"Serial {document['serial_s']:.2f} s, parallel {document['parallel_s']:.2f} s "
        f"({rate:,.0f} words/s): speedup {document['speedup']:.2f}, "
        f"efficiency {document['efficiency']:.0%}, "
        f"{document['cores_busy']:.2f} cores busy, transfer and merge {share:.1%}.",
        "Both reports are equal."
        if document["results_equal"]
        else "THE REPORTS DIFFER: the parallel run is wrong.",
    ]
    if document["tasks_retried"]:
        lines.append(f"{document['tasks_retried']} tasks were run again after a death.")
    return "\n".join(lines)
