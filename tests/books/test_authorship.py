"""Which books are closest in style."""

from collections import Counter

from grid.books.authorship import closest_books
from grid.books.words import words_of

from .novels import needs_novels, novel


def test_two_books_have_no_closest() -> None:
    assert closest_books([{"the": 1}, {"the": 2}], [10, 10]) == [None, None]


def test_rates_count_and_not_numbers() -> None:
    lexicons = [{"the": 1, "of": 5}, {"the": 10, "of": 50}, {"the": 5, "of": 1}]
    assert closest_books(lexicons, [10, 100, 10])[:2] == [1, 0]


def test_an_empty_book_is_survived() -> None:
    assert len(closest_books([{}, {"the": 1}, {"the": 2}], [0, 1, 2])) == 3


@needs_novels
def test_novels_of_one_author_find_each_other() -> None:
    files = ["austen-persuasion", "dickens-hard-times", "austen-emma", "dickens-great-expectations"]
    words = [words_of(novel(f"{file}.txt")) for file in files]
    assert closest_books([Counter(one) for one in words], [len(one) for one in words]) == [
        2,
        3,
        0,
        1,
    ]
