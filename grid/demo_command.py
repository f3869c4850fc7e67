"""``grid demo``: what a cluster of four machines does, shown on hosts in miniature and checked.

Not here: what is shown (``demo/``), the hosts (``hosts/``).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from grid.arguments import number_within, whole_within, writable_file
from grid.books.corpus import Corpus, CorpusError, generated, gutenberg, load_folder
from grid.config import Config
from grid.demo import failure, formation, rejoin, speedup
from grid.demo.figures import Outcome, document_of
from grid.demo.narration import Narrator
from grid.demo.recording import COLUMNS, LINES
from grid.demo.runs import Books
from grid.demo.stage import Stage, stage
from grid.errors import GridError
from grid.hosts.interruption import ended_as_by_ctrl_c
from grid.hosts.network import lacking
from grid.hosts.owner import new_token

ALL = "all"
DEMOS = ("formation", "speedup", "failure", "rejoin")
EXAMPLES = """
examples:
  sudo grid demo all                        all four, in some seven minutes
  sudo grid demo failure --books 5          one of them, with fewer books
  sudo grid demo all --json figures.json    the figures, for a program

On four real machines nothing of this is needed: the README says what to type there.
"""
WITH_BOOKS = frozenset({"speedup", "failure"})


def run(options: argparse.Namespace, config: Config) -> int:
    """Show what was asked for; `config` is not used: the hosts have a cluster.toml of their own.

    Returns: 1 when a figure misses its target.
    Raises: GridError when this machine cannot be divided into hosts.
    """
    if reason := lacking(with_quotas=True):
        raise GridError(
            f"{reason}; on real machines none of that is needed: the README says what to type there"
        )
    narrator = Narrator(Console())
    with ended_as_by_ctrl_c():
        document = _show(options, narrator)
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return 0 if document["passed"] else 1


def _show(options: argparse.Namespace, narrator: Narrator) -> dict[str, Any]:
    wanted = DEMOS if options.demo == ALL else (options.demo,)
    recordings = _recordings_folder(options.recordings)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix=f"{new_token()}-books-") as folder:
        books = None
        if WITH_BOOKS & set(wanted):
            books = Books(
                _corpus(options, narrator), Path(folder), driver_has_quota=options.driver_in_quota
            )
            narrator.say(f"{books.name}, in {books.parts} parts")
        narrator.say(f"the console of each host is recorded in {recordings}")
        narrator.say(f"'cat' replays it, on a terminal of {COLUMNS}x{LINES}; 'pv -qL 20k' slowly")
        with stage(options.hosts, options.quota, recordings, narrator) as made:
            for demo in wanted:
                outcomes.append(_outcome(demo, made, books))
                for check in outcomes[-1].checks:
                    narrator.verdict(check)
                if outcomes[-1].failure:
                    narrator.say(f"  FAILED {outcomes[-1].failure}")
                    break  # What is left on the stage is not what the next one needs.
    document = document_of(options.demo, outcomes)
    narrator.say(f"\n{options.demo}: {'passed' if document['passed'] else 'NOT PASSED'}")
    return document


def _outcome(demo: str, made: Stage, books: Books | None) -> Outcome:
    """Show one demonstration; what keeps it from its end is part of the outcome."""
    try:
        match demo:
            case "formation":
                return formation.show(made)
            case "rejoin":
                return rejoin.show(made)
        assert books is not None
        return speedup.show(made, books) if demo == "speedup" else failure.show(made, books)
    except GridError as error:
        return Outcome(demo, {}, (), str(error))


def _recordings_folder(wanted: Path | None) -> Path:
    """Return the folder for the recordings, made if need be. Raises: GridError."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="grid-demo-consoles-"))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GridError(f"no recordings in {wanted}: {error.strerror}") from error
    return wanted


def _corpus(options: argparse.Namespace, narrator: Narrator) -> Corpus:
    if options.corpus is not None:
        return load_folder(options.corpus, options.books)
    try:
        with narrator.progress("novels of Project Gutenberg") as show:
            return gutenberg(options.books, on_progress=lambda done, total, _: show(done, total))
    except CorpusError as error:
        narrator.say(f"{error}; using generated books instead (--corpus DIR for your own)")
        return generated(options.books)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLES
    parser.add_argument("demo", choices=(*DEMOS, ALL), help="what to show")
    parser.add_argument(
        "--json", type=writable_file, metavar="FILE", help="write the figures as JSON"
    )
    parser.add_argument(
        "--books", type=whole_within(1, 1000), default=20, metavar="N", help="how many books (20)"
    )
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="a folder of .txt files")
    parser.add_argument(
        "--hosts", type=whole_within(2, 32), default=4, metavar="N", help="hosts with a node (4)"
    )
    parser.add_argument(
        "--quota",
        type=number_within(0.1, 64),
        default=0.3,
        metavar="CORES",
        help="what each host has of the CPU (0.3)",
    )
    parser.add_argument(
        "--driver-in-quota",
        action="store_true",
        help="put the program that drives the cluster under the quota of its host, too",
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="where each host's console is recorded (a new folder for temporary files)",
    )
