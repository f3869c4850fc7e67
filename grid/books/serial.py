"""The baseline: all books analysed by one plain process, without any grid.

Responsible for: the time that the cluster is compared with, from the same functions over the same
parts. Not responsible for: the cluster (`run`), or comparing the two (the bench).

Theory of operation. What a person would write without a grid: split, analyse, merge, one part
after the other. Reading the books is not timed, neither here nor there. Summaries are not encoded,
as nothing needs to travel; that favours the baseline. ``python -m grid.books.serial`` runs it in a
fresh process, so that neither side inherits a warm or crowded interpreter.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from grid.books.analysis import analyse
from grid.books.corpus import Corpus, CorpusError, generated, load_folder
from grid.books.parts import split
from grid.books.report import Report, ReportBuilder


def run_serial(corpus: Corpus) -> tuple[Report, float, int]:
    """Analyse a corpus in this process.

    Returns:
        The report, the seconds it took, and the number of parts analysed.
    """
    started_s = perf_counter()
    builder = ReportBuilder()
    part_count = 0
    for book_index, book in enumerate(corpus.books):
        for part in split(book.text):
            builder.add(book_index, part.index, analyse(part))
            part_count += 1
    report = builder.finish()
    return report, perf_counter() - started_s, part_count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the baseline from the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m grid.books.serial",
        description="Analyse novels in one plain process; print how many words and seconds.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path, metavar="DIR", help="folder of .txt files")
    source.add_argument(
        "--generated", action="store_true", help="made-up novels instead of a folder"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the made-up novels (default: 1)")
    parser.add_argument("--books", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--report", type=Path, metavar="FILE", help="for the encoded report")
    options = parser.parse_args(arguments)
    try:
        corpus = (
            generated(options.books, options.seed)
            if options.generated
            else load_folder(options.corpus, options.books)
        )
    except CorpusError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    report, seconds, part_count = run_serial(corpus)
    if options.report is not None:
        try:
            options.report.write_bytes(report.encode())
        except OSError as error:
            sys.stderr.write(f"{options.report} cannot be written: {error.strerror}\n")
            return 1
    sys.stdout.write(
        f"{corpus.name}: {report.words} words in {part_count} parts, {seconds:.3f} seconds\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
