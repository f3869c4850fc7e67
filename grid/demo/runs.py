"""The books on the stage: by one plain process on a host alone, or on the cluster.

Responsible for: the texts and reports on disk, one run of either kind, its progress.

Not responsible for: what the times mean (the demonstrations).

Theory of operation. The plain process runs on a host without a node, under that host's quota. The
program that drives the cluster runs on host 1 and, unless asked for, is not under its quota: it
works in bursts, which a fraction of a core stretches as no real machine does, and everybody waits
for some of them. With twenty novels it spares the hosts 2 to 3 % of the work, which is told, and
the run 6 % of the time.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from grid.books.corpus import Corpus, store_folder
from grid.books.parts import split
from grid.books.report import Report
from grid.demo.driver import Line, Result, Step
from grid.demo.stage import Stage
from grid.errors import TaskError

SILENCE_S_MAX = 3600.0
"""A plain process on a small share of a core says nothing until it is done."""

_READ_BYTES = 64 * 1024


class Books:
    """A corpus in a folder that programs on hosts can read, and what it was found to hold."""

    def __init__(self, corpus: Corpus, folder: Path, *, driver_has_quota: bool = False) -> None:
        """Write the texts into `folder`."""
        self.count = len(corpus.books)
        self.name = corpus.name
        self.parts = sum(len(split(book.text)) for book in corpus.books)
        self.driver_has_quota = driver_has_quota
        """Whether the program that drives the cluster is under its host's quota, too."""
        self._folder = folder
        store_folder(corpus, folder)
        self._serial_report: Report | None = None

    def serial(self, stage: Stage) -> float:
        """Analyse them by one plain process on the host without a node; return the seconds.

        Raises: TaskError.
        """
        path = self._folder / "serial.report"
        process = stage.alone.program(
            *(sys.executable, "-P", "-m", "grid.books.serial"), *self._arguments(path)
        )
        text = ""
        try:
            with stage.narrator.progress(f"one plain process on {stage.alone.name}"):
                text = "\n".join(_lines_of(process))
        finally:
            _end(process)
        if process.returncode:
            raise TaskError("the plain process failed; its reason is printed above")
        self._serial_report = Report.decode(path.read_bytes())
        return float(text.split()[-2])

    def parallel(self, stage: Stage, on_part: Callable[[int], None] = lambda done: None) -> Result:
        """Analyse them on the cluster, driven from host 1; `on_part` is told of each part.

        Raises: TaskError.
        """
        first = stage.hosts[0]
        process = first.program(
            *(sys.executable, "-P", "-m", "grid.demo.driver"),
            *self._arguments(self._parallel_report),
            has_quota=self.driver_has_quota,
        )
        self._parallel_report.unlink(missing_ok=True)
        result = Result(failure="it ended without a result; its reason is printed above")
        try:
            with stage.narrator.progress(f"the cluster, driven from {first.name}") as show:
                for line in _lines_of(process):
                    message = msgspec.json.decode(line, type=Line)
                    if isinstance(message, Step):
                        show(message.done, self.parts)
                        on_part(message.done)
                    else:
                        result = message
        finally:
            _end(process)
        if result.failure:
            raise TaskError(f"the run on the cluster failed: {result.failure}")
        return result

    def results_equal(self) -> bool:
        """Whether the latest run on the cluster found what the plain process has found."""
        return Report.decode(self._parallel_report.read_bytes()) == self._serial_report

    @property
    def has_serial_report(self) -> bool:
        """Whether a plain process has analysed them."""
        return self._serial_report is not None

    @property
    def _parallel_report(self) -> Path:
        return self._folder / "parallel.report"

    def _arguments(self, report: Path) -> list[str]:
        folder, count = str(self._folder), str(self.count)
        return ["--corpus", folder, "--books", count, "--report", str(report)]


def _lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the lines that a program prints, until it ends.

    Raises: TaskError when it is silent for too long.
    """
    assert process.stdout is not None
    source = process.stdout.buffer.raw  # type: ignore[attr-defined]  # typeshed has TextIO here.
    rest = b""
    while select.select([source], [], [], SILENCE_S_MAX)[0]:
        data = source.read(_READ_BYTES)
        if not data:
            process.wait(timeout=SILENCE_S_MAX)
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode() for line in lines)
    raise TaskError(f"nothing was heard of a run for {SILENCE_S_MAX:g} s")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
