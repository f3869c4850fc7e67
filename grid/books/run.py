"""The books on the cluster: parts into the map, a task per part, summaries merged here.

Responsible for: one parallel run and its measurement, one serial run in a fresh process.

Not responsible for: the analysis (``analysis.py``), choosing corpus and cluster (the bench
command), showing anything (``table.py``).
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter, process_time, thread_time

import msgspec

from grid.books.analysis import Summary, analyse
from grid.books.corpus import Corpus, store_folder
from grid.books.parts import Part, split
from grid.books.report import Report, ReportBuilder
from grid.client.current import current, current_node
from grid.client.session import Grid
from grid.errors import TaskError

RESULT_DEADLINE_S = 300.0
"""No result at all for so long ends the run with an error instead of a hanging bar."""

OnProgress = Callable[[int, int], None]
"""Told after each part: how many are done, how many are known so far."""


class PartResult(msgspec.Struct, frozen=True, array_like=True):
    """What the task of one part returns; `summary` is encoded, at most 100 KB."""

    summary: bytes
    node: str
    cpu_s: float
    wall_s: float


class NodeShare(msgspec.Struct, frozen=True):
    """What one node did in a run; `seconds` sums its tasks' wall time."""

    name: str
    parts: int
    seconds: float


class ParallelRun(msgspec.Struct, frozen=True):
    """One run on the cluster, from the first cut of a book to the finished report.

    `load_s` is spent on putting parts into the map, `merge_cpu_s` and `merge_wall_s` on decoding
    and merging summaries; both happen while workers work. The client has no core of its own:
    on a full machine the wall time of merging is partly waiting while a worker has the core,
    which costs the run nothing; its CPU time is what merging takes from the workers.
    """

    report: Report
    wall_s: float
    load_s: float
    merge_cpu_s: float
    merge_wall_s: float
    parts: int
    worker_cpu_s: float
    tasks_retried: int
    shares: tuple[NodeShare, ...]


class Stopwatch:
    """Sums the CPU and wall time of this thread's ``with`` blocks."""

    def __init__(self) -> None:
        """Start at zero."""
        self.cpu_s = self.wall_s = 0.0

    def __enter__(self) -> None:
        """Start."""
        self.cpu_s -= thread_time()
        self.wall_s -= perf_counter()

    def __exit__(self, *raised: object) -> None:
        """Stop."""
        self.cpu_s += thread_time()
        self.wall_s += perf_counter()


def analyse_stored_part(map_name: str, key: str) -> PartResult:
    """Analyse one part where it is stored, or near. Runs in: worker."""
    started_cpu_s, started_s = process_time(), perf_counter()
    part = Part.decode(current().map(map_name)[key])
    summary = analyse(part).encode()
    return PartResult(
        summary, current_node(), process_time() - started_cpu_s, perf_counter() - started_s
    )


def run_parallel(client: Grid, corpus: Corpus, on_progress: OnProgress) -> ParallelRun:
    """Analyse a corpus on the cluster; the map it used is empty again afterwards."""
    books = client.map(f"grid-bench-{secrets.token_hex(4)}")
    try:
        return _run(client, corpus, books.name, on_progress)
    finally:
        books.clear()


def _run(client: Grid, corpus: Corpus, map_name: str, on_progress: OnProgress) -> ParallelRun:
    books = client.map(map_name)
    done: SimpleQueue[tuple[int, int, Future[PartResult]]] = SimpleQueue()
    builder = ReportBuilder()
    results: list[PartResult] = []
    missing: dict[int, int] = {}  # Parts of each book without a result.
    load_s = 0.0
    merging = Stopwatch()
    submitted = 0
    started_s = perf_counter()

    def note(book_index: int, part_index: int, future: Future[PartResult]) -> None:
        done.put((book_index, part_index, future))

    def merge_next(*, wait: bool) -> bool:
        """Merge one finished part; False if none is finished and `wait` is not wanted."""
        if not wait and done.empty():
            return False
        book_index, part_index, future = done.get(timeout=RESULT_DEADLINE_S)
        result = future.result()
        with merging:
            builder.add(book_index, part_index, Summary.decode(result.summary))
            missing[book_index] -= 1
            if not missing[book_index]:
                builder.complete(book_index)
        results.append(result)
        on_progress(len(results), submitted)
        return True

    with client.executor() as pool:
        for book_index, book in enumerate(corpus.books):
            loading_s = perf_counter()
            parts = {f"{book_index}/{part.index}": part for part in split(book.text)}
            books.put_all({key: part.encode() for key, part in parts.items()})
            load_s += perf_counter() - loading_s
            missing[book_index] = len(parts)
            for key, part in parts.items():
                # Short ones last: so all workers are done at nearly the same time.
                size = len(part.text)
                future = pool.submit_to(analyse_stored_part, map_name, key, key=key, priority=size)
                future.add_done_callback(partial(note, book_index, part.index))
                submitted += 1
            while merge_next(wait=False):
                pass
        while len(results) < submitted:
            merge_next(wait=True)
        with merging:
            report = builder.finish()
        ended_s = perf_counter()
        retried = pool.retried_count
    return ParallelRun(
        report=report,
        wall_s=ended_s - started_s,
        load_s=load_s,
        merge_cpu_s=merging.cpu_s,
        merge_wall_s=merging.wall_s,
        parts=submitted,
        worker_cpu_s=sum(result.cpu_s for result in results),
        tasks_retried=retried,
        shares=_shares(results),
    )


def _shares(results: list[PartResult]) -> tuple[NodeShare, ...]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for result in results:
        seconds[result.node].append(result.wall_s)
    return tuple(NodeShare(name, len(times), sum(times)) for name, times in sorted(seconds.items()))


def run_serial_in_fresh_process(corpus: Corpus) -> tuple[Report, float]:
    """Analyse a corpus in one plain process that has loaded nothing of the cluster.

    Returns: the report and the seconds, without start-up and reading.
    Raises: TaskError when that process fails.
    """
    with tempfile.TemporaryDirectory(prefix="grid-bench-") as folder:
        store_folder(corpus, Path(folder))
        report_file = Path(folder, "report")
        command = [sys.executable, "-m", "grid.books.serial", "--corpus", folder]
        command += ["--books", str(len(corpus.books)), "--report", str(report_file)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise TaskError(f"the serial run failed: {finished.stderr.strip()[-500:]}")
        words = finished.stdout.split()
        return Report.decode(report_file.read_bytes()), float(words[-2])
