"""Merging summaries."""

import random
from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.books.analysis import Summary, analyse
from grid.books.parts import split
from grid.books.pseudonovel import write
from grid.books.report import Report, ReportBuilder
from grid.books.words import words_of

from .novels import needs_novels, novel

# The same examples each time, however slow the machine is.
REPEATABLE = settings(deadline=None, derandomize=True)


@cache
def summaries() -> list[tuple[int, int, Summary]]:
    """Return the summaries of three short books, in order."""
    return [
        (book_index, part.index, analyse(part))
        for book_index, length in enumerate((30_000, 12_000, 21_000))
        for part in split(write(book_index)[:length], 5_000)
    ]


def merged(arrivals: list[tuple[int, int, Summary]]) -> Report:
    builder = ReportBuilder()
    for book_index, part_index, summary in arrivals:
        builder.add(book_index, part_index, summary)
    return builder.finish()


@REPEATABLE
@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(chance: random.Random) -> None:
    arrivals = list(summaries())
    chance.shuffle(arrivals)
    shuffled, ordered = merged(arrivals), merged(summaries())
    assert shuffled == ordered
    assert shuffled.encode() == ordered.encode()


def test_a_part_that_arrives_twice_counts_once() -> None:
    assert merged([*summaries(), *summaries()[:4]]) == merged(summaries())


def test_a_missing_part_is_noticed() -> None:
    assert merged(summaries()[1:]) != merged(summaries())
    assert [book.parts for book in merged(summaries()[1:]).books] != [
        book.parts for book in merged(summaries()).books
    ]


def test_adding_leaves_summaries_and_earlier_reports_alone() -> None:
    before = [summary.encode() for _, _, summary in summaries()]
    builder = ReportBuilder()
    for arrival in summaries()[:3]:
        builder.add(*arrival)
    early = builder.finish()
    early_bytes = early.encode()
    for arrival in summaries()[3:]:
        builder.add(*arrival)
    assert builder.finish() == merged(summaries())
    assert early.encode() == early_bytes
    assert [summary.encode() for _, _, summary in summaries()] == before


def test_a_book_completed_early_is_reported_as_at_the_end_and_further_parts_still_count() -> None:
    builder = ReportBuilder()
    for number, arrival in enumerate(summaries()):
        builder.add(*arrival)
        if number in (1, len(summaries()) - 1):
            builder.complete(arrival[0])
    assert builder.finish() == merged(summaries())


def test_a_report_survives_its_journey() -> None:
    report = merged(summaries())
    assert Report.decode(report.encode()) == report


def test_words_of_the_report_are_those_of_the_text() -> None:
    report = merged(summaries())
    lexicons = [Counter(words_of(write(i)[:n])) for i, n in enumerate((30_000, 12_000, 21_000))]
    for book, lexicon in zip(report.books, lexicons, strict=True):
        assert book.words == lexicon.total()
        assert book.distinct_words == len(lexicon)
        assert book.hapaxes == sum(count == 1 for count in lexicon.values())
        assert book.growth[-1] == (lexicon.total(), len(lexicon))
    assert report.distinct_words == len(set().union(*lexicons))


def test_growth_is_that_of_the_text_at_every_point() -> None:
    words = words_of(write(0)[:30_000])
    growth = merged(summaries()).books[0].growth
    assert [distinct for _, distinct in growth] == [len(set(words[:read])) for read, _ in growth]


def test_nothing_added_gives_an_empty_report() -> None:
    assert ReportBuilder().finish() == Report(0, 0, 0, ())


@pytest.mark.parametrize("text", ["x", "...", "\n\n", "1815"])
def test_a_book_of_hardly_anything_is_reported(text: str) -> None:
    book = merged([(7, 0, analyse(split(text)[0]))]).books[0]
    assert book.book_index == 7
    assert book.words == len(words_of(text))
    assert book.one_line("Nothing").startswith("Nothing: ")


@needs_novels
def test_collocations_of_emma_are_its_people() -> None:
    arrivals = [(0, part.index, analyse(part)) for part in split(novel("austen-emma.txt"))]
    book = merged(arrivals).books[0]
    assert {"mr knightley", "frank churchill", "miss woodhouse"} <= {c.text for c in book.bigrams}
    assert book.speakers[0][0] == "Emma"
    assert all(c.score > 10.83 for c in (*book.bigrams, *book.trigrams, *book.formulas))
    assert "“mr knightley”" in book.one_line("Emma")
    assert 0.4 < book.growth_exponent < 0.8
    assert 6 < book.school_grade < 12
