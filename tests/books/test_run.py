"""The books on a real cluster, small: equal to the plain run, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

import grid
from grid.books.corpus import Book, Corpus, generated
from grid.books.run import run_parallel, run_serial_in_fresh_process
from grid.books.table import Repeat, document_of, verdict
from grid.cli import main


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Two generated novels, cut short: five parts."""
    novels = generated(2).books
    books = tuple(Book(b.title, b.author, b.file, b.text[:220_000]) for b in novels)
    return Corpus("a small corpus", books, generated=True)


def test_the_cluster_finds_what_one_plain_process_finds(corpus: Corpus):
    progress: list[tuple[int, int]] = []
    with grid.local(nodes=2, workers=1, storage_processes=1) as client:
        parallel = run_parallel(client, corpus, lambda done, known: progress.append((done, known)))
    report, serial_s = run_serial_in_fresh_process(corpus)
    assert parallel.report == report
    assert parallel.parts == sum(share.parts for share in parallel.shares)
    assert progress[-1] == (parallel.parts, parallel.parts)
    repeat = Repeat(serial_s, parallel, is_equal=True)
    document = document_of(corpus, [repeat], nodes=2, workers=2, cores=2)
    assert document["words"] == report.words
    assert "Both reports are equal" in verdict(document)


def test_the_bench_command_writes_its_figures(corpus: Corpus, tmp_path: Path):
    for index, book in enumerate(corpus.books):
        (tmp_path / f"{index}.txt").write_text(book.text)
    json_path = tmp_path / "figures.json"
    arguments = ["bench", "--books", "2", "--corpus", str(tmp_path), "--nodes", "2"]
    assert main([*arguments, "--json", str(json_path)]) == 0
    document = orjson.loads(json_path.read_bytes())
    assert document["results_equal"] is True
    assert document["books"] == 2
    assert document["nodes"] == 2
    assert document["tasks_retried"] == 0
    assert sum(node["parts"] for node in document["per_node"]) >= 4
    expected = "corpus words workers cores serial_s parallel_s speedup efficiency cores_busy"
    assert set(expected.split()) <= set(document)
