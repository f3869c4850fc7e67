"""The one-process baseline."""

import sys
from pathlib import Path

import pytest

from grid.books.analysis import Summary, analyse
from grid.books.corpus import Book, Corpus, load_folder
from grid.books.parts import Part, split
from grid.books.pseudonovel import write
from grid.books.report import Report, ReportBuilder
from grid.books.serial import main, run_serial


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        (tmp_path / f"book-{number}.txt").write_text(write(number)[:120_000], encoding="utf-8")
    return tmp_path


def test_the_report_is_that_of_parts_which_travelled(folder: Path) -> None:
    corpus = load_folder(folder, 2)
    builder = ReportBuilder()
    for book_index, book in reversed(list(enumerate(corpus.books))):
        for part in split(book.text):
            summary = analyse(Part.decode(part.encode()))
            builder.add(book_index, part.index, Summary.decode(summary.encode()))
    report, seconds, part_count = run_serial(corpus)
    assert report == builder.finish()
    assert seconds > 0
    assert part_count == 4


def test_an_empty_book_does_not_shift_the_others() -> None:
    books = (Book("Empty", "", "a.txt", ""), Book("One word", "", "b.txt", "word"))
    report, _, part_count = run_serial(Corpus("2 novels", books, generated=False))
    assert [book.book_index for book in report.books] == [1]
    assert part_count == 1


def test_the_command_prints_words_and_writes_the_report(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report"
    assert main(["--corpus", str(folder), "--books", "2", "--report", str(file)]) == 0
    report = Report.decode(file.read_bytes())
    assert f"2 novels from {folder}: {report.words} words in 4 parts, " in capsys.readouterr().out
    assert report == run_serial(load_folder(folder, 2))[0]


def test_the_command_explains_in_one_sentence_why_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--corpus", str(tmp_path / "nowhere")]) == 2
    assert (
        capsys.readouterr().err == f"there is no folder {tmp_path / 'nowhere'} to take books from\n"
    )


def test_a_report_that_cannot_be_written_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--corpus", str(folder), "--books", "1", "--report", str(folder)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_command_takes_generated_novels(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.books.pseudonovel.BOOK_CHARACTERS", 10_000)
    monkeypatch.setattr(sys, "argv", ["serial", "--generated", "--books", "1"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("1 generated novel, seed 1: ")
