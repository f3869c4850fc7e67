"""``grid bench``: the same books serially and on the cluster, and what that gains.

Not here: the runs themselves and their figures (``books/``).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from grid.api import local, open_client
from grid.books.corpus import Corpus, CorpusError, generated, gutenberg, load_folder
from grid.books.run import run_parallel, run_serial_in_fresh_process
from grid.books.table import Repeat, document_of, render
from grid.client.session import Grid
from grid.config import Config
from grid.errors import ConnectError

LOCAL_NODES_MAX = 4

EXAMPLES = """
examples:
  grid bench --books 4                 a short look
  grid bench --books 20                what the README speaks of: minutes
  grid bench --corpus ~/texts          your own folder of .txt files
"""


def run(options: argparse.Namespace, config: Config) -> int:
    """Run the benchmark; return 0 when the results are equal, else 1."""
    console = Console(stderr=True)
    corpus = _corpus(options, console)
    with _cluster(options, config, console) as client:
        status = client.status()["members"]
        alive = [member for member in status if member["state"] == "alive"]
        workers = sum(node.workers for node in client.nodes())
        repeats = []
        for number in range(options.repeat):
            label = f" {number + 1}/{options.repeat}" if options.repeat > 1 else ""
            console.print(f"serial run{label}: one plain process ...", highlight=False)
            serial_report, serial_s = run_serial_in_fresh_process(corpus)
            console.print(f"serial run{label}: {serial_s:.2f} s", highlight=False)
            with _progress(console) as progress:
                bar = progress.add_task(f"parallel run{label}", total=None)
                parallel = run_parallel(client, corpus, partial(_show, progress, bar))
            is_equal = parallel.report == serial_report
            repeats.append(Repeat(serial_s, parallel, is_equal=is_equal))
        document = document_of(
            corpus, repeats, nodes=len(alive), workers=workers, cores=_cores(client, workers)
        )
    Console().print(render(corpus, document, repeats[-1].parallel))
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return 0 if document["results_equal"] else 1


def _corpus(options: argparse.Namespace, console: Console) -> Corpus:
    if options.corpus is not None:
        return load_folder(options.corpus, options.books)
    try:
        with _progress(console) as progress:
            bar = progress.add_task("novels of Project Gutenberg", total=options.books)
            return gutenberg(
                options.books,
                on_progress=lambda done, wanted, title: progress.update(
                    bar, completed=done, total=wanted, description=title
                ),
            )
    except CorpusError as error:
        console.print(f"{error}; using generated books instead (--corpus DIR for your own)")
        return generated(options.books)


@contextmanager
def _cluster(options: argparse.Namespace, config: Config, console: Console) -> Iterator[Grid]:
    """The configured cluster if one answers, else a local one with the cores shared out."""
    if options.nodes is None:
        try:
            client = open_client(config)
        except ConnectError:
            pass
        else:
            console.print(f"using the running cluster {config.cluster.name!r}", highlight=False)
            with client:
                yield client
            return
    cores = len(os.sched_getaffinity(0))
    nodes = options.nodes or min(LOCAL_NODES_MAX, cores)
    console.print(f"starting a local cluster of {nodes} nodes ...", highlight=False)
    with local(nodes) as client:
        yield client


def _cores(client: Grid, workers: int) -> int:
    """Cores of the cluster: this machine's, or, with other machines, one per worker."""
    hosts = {node.host for node in client.nodes()}
    return len(os.sched_getaffinity(0)) if len(hosts) == 1 else workers


def _show(progress: Progress, bar: TaskID, done: int, known: int) -> None:
    progress.update(bar, completed=done, total=known)


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=not sys.stderr.isatty())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--books", type=_positive, default=20, metavar="N", help="how many books (20)"
    )
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="a folder of .txt files")
    parser.add_argument(
        "--nodes",
        type=_positive,
        metavar="N",
        help="start a local cluster of N nodes even if one runs (a node per core, at most 4)",
    )
    parser.add_argument(
        "--repeat",
        type=_positive,
        default=1,
        metavar="R",
        help="pairs of a serial and a parallel run; figures are medians (1)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")


def _positive(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
