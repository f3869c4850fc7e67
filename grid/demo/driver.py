"""The program that a person runs on one of the machines: the books on the running cluster.

``python -m grid.demo.driver --corpus DIR --books N --report FILE`` does what ``grid bench`` does on
the cluster's side, and tells another program how far it is: a `Step` as JSON in each line of its
output, and a `Result` in the last one.

Runs in: a process of its own on host 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import msgspec

from grid.api import load_config, open_client
from grid.books.corpus import load_folder
from grid.books.run import run_parallel
from grid.errors import GridError


class Step(msgspec.Struct, frozen=True, tag=True):
    """One more part is done."""

    done: int


class Result(msgspec.Struct, frozen=True, tag=True):
    """It is over; `failure` says why, if there is no report."""

    wall_s: float = 0.0
    driver_cpu_s: float = 0.0
    """Of this program itself, meanwhile."""
    tasks_retried: int = 0
    parts_by_node: dict[str, int] = {}
    failure: str = ""


Line = Step | Result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the books; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m grid.demo.driver")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--books", type=int, required=True)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        result = _run(options.corpus, options.books, options.report)
    except GridError as error:
        result = Result(failure=str(error))
    _tell(result)
    return 1 if result.failure else 0


def _run(folder: Path, books: int, report: Path) -> Result:
    corpus = load_folder(folder, books)
    with open_client(load_config(None)) as client:
        started_cpu_s = process_time()
        run = run_parallel(client, corpus, lambda done, _: _tell(Step(done)))
        driver_cpu_s = process_time() - started_cpu_s
    report.write_bytes(run.report.encode())
    shares = {share.name: share.parts for share in run.shares}
    return Result(run.wall_s, driver_cpu_s, run.tasks_retried, shares)


def _tell(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
