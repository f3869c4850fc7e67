"""Generated novels."""

from collections import Counter

from grid.books.pseudonovel import BOOK_CHARACTERS, write
from grid.books.words import words_of


def test_a_seed_gives_the_same_novel_and_another_seed_another() -> None:
    assert write(1) == write(1) != write(2)


def test_a_novel_has_its_length_paragraphs_and_speech() -> None:
    text = write(3)
    assert BOOK_CHARACTERS <= len(text) < BOOK_CHARACTERS * 1.01
    assert text.count("\n\n") > 1_000
    assert text.count('"') > 1_000


def test_words_follow_the_law_of_zipf() -> None:
    """The hundredth word is about a tenth as frequent as the tenth."""
    counts = [count for _, count in Counter(words_of(write(4))).most_common(100)]
    assert 5 < counts[9] / counts[99] < 20
