"""Runs of the books as programs on hosts, here on this machine: times, progress, failures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import cast

import msgspec
import pytest
from rich.console import Console

from grid.books.corpus import Book, Corpus
from grid.books.pseudonovel import write
from grid.demo.driver import Line, Result, Step
from grid.demo.narration import Narrator
from grid.demo.runs import Books
from grid.demo.stage import Stage
from grid.errors import TaskError

CORPUS = Corpus(
    "two short books",
    tuple(Book(f"{n}", "", f"{n}.txt", write(n)[:4_000]) for n in range(2)),
    generated=True,
)


@dataclass
class HostHere:
    """Runs the command it is given, or this program in its place."""

    name: str
    instead: str = ""
    had_quota: bool = False

    def program(self, *command: str, has_quota: bool = True) -> subprocess.Popen[str]:
        self.had_quota = has_quota
        words = [sys.executable, "-c", self.instead, *command] if self.instead else command
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


class StageHere:
    def __init__(self, driver: str = "", serial: str = "") -> None:
        self.hosts = [HostHere("h1", driver)]
        self.alone = HostHere("h2", serial)
        self.narrator = Narrator(Console(file=StringIO()))


def on_stage(driver: str = "", serial: str = "") -> Stage:
    return cast(Stage, StageHere(driver, serial))


def driver_that_says(*lines: Line, also: str = "") -> str:
    """Return a program that prints these lines, and copies the plain process's report."""
    text = "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)
    return f"import sys; sys.stdout.write({text!r})\n{also}"


COPY_REPORT = (
    "import pathlib\n"
    "path = pathlib.Path(sys.argv[sys.argv.index('--report') + 1])\n"
    "path.write_bytes((path.parent / 'serial.report').read_bytes())"
)


def test_the_plain_process_tells_its_time_and_leaves_a_report(tmp_path: Path):
    books = Books(CORPUS, tmp_path)
    had_one = books.has_serial_report
    assert 0 < books.serial(on_stage()) < 60
    assert (had_one, books.has_serial_report) == (False, True)
    assert (books.count, books.parts) == (2, 2)


def test_the_driver_s_progress_and_result_arrive_and_its_report_is_compared(tmp_path: Path):
    books = Books(CORPUS, tmp_path)
    stage = on_stage(
        driver_that_says(Step(1), Step(2), Result(1.5, 0.1, 3, {"h1": 2}), also=COPY_REPORT)
    )
    books.serial(stage)
    seen: list[int] = []
    result = books.parallel(stage, seen.append)
    assert seen == [1, 2]
    assert (result.wall_s, result.tasks_retried) == (1.5, 3)
    assert books.results_equal()
    other = Books(Corpus("other", CORPUS.books[:1], generated=True), tmp_path)
    other.serial(on_stage())
    assert not other.results_equal()


@pytest.mark.parametrize("has_quota", [True, False])
def test_the_driver_has_its_host_s_quota_if_so_asked(tmp_path: Path, has_quota: bool):
    stage = StageHere(driver_that_says(Result()))
    Books(CORPUS, tmp_path, driver_has_quota=has_quota).parallel(cast(Stage, stage))
    assert stage.hosts[0].had_quota is has_quota


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (driver_that_says(Result(failure="no node answers")), "no node answers"),
        (driver_that_says(Step(1), also="sys.exit(3)"), "ended without a result"),
    ],
)
def test_a_driver_without_a_report_is_an_error_with_its_reason(
    tmp_path: Path, driver: str, reason: str
):
    with pytest.raises(TaskError, match=reason):
        Books(CORPUS, tmp_path).parallel(on_stage(driver))


def test_a_plain_process_that_fails_is_an_error(tmp_path: Path):
    with pytest.raises(TaskError, match="plain process failed"):
        Books(CORPUS, tmp_path).serial(on_stage(serial="raise SystemExit(2)"))


def test_a_program_that_says_nothing_for_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grid.demo.runs.SILENCE_S_MAX", 0.01)
    with pytest.raises(TaskError, match=r"nothing was heard of a run for 0\.01 s"):
        Books(CORPUS, tmp_path).parallel(on_stage("import time; time.sleep(600)"))
