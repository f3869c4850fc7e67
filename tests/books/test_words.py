"""Where words and sentences begin and end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.books.words import sentences, syllables_of, words_of

# The same examples each time, however slow the machine is.
REPEATABLE = settings(deadline=None, derandomize=True)


def split_into_sentences(text: str, *carried: str) -> list[list[str]]:
    return [words for words, _ in sentences(text, carried) if words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don\u2019t! DON'T", ["don't", "don't"]),
        ("a whale-fish, PEKEE-NUEE", ["a", "whale", "fish", "pekee", "nuee"]),
        ("Brontë naïve Éclair ŒUVRE", ["brontë", "naïve", "éclair", "œuvre"]),
        ("'Tis the boys' 'hat'", ["tis", "the", "boys", "hat"]),
        ("_them_ 3 times in 1815--no", ["them", "times", "in", "no"]),
        ("", []),
    ],
)
def test_words_are_letters_with_apostrophes_inside(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One went. Two came! Three stayed? Four left...", 4),
        ('"Oh!" said he, and "Why?" she asked. He went.', 2),
        ('"Oh!" He went.', 2),
        ("so much as that!--And it is a kindness", 2),
        ("Mr. Darcy met Mrs. J. Bennet and Dr. Grant.", 1),
        ("So am I. He is not.", 2),
        ("CHAPTER I\n\nIt began", 2),
        ("a line\nand the next of one paragraph", 1),
        ("at 3.15 it began", 1),
        ("...", 0),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, count: int) -> None:
    assert len(split_into_sentences(text)) == count


def test_carried_words_decide_about_a_full_stop_that_comes_first() -> None:
    assert split_into_sentences(". Darcy went", "mr") == [["darcy", "went"]]
    first, second, *_ = [words for words, _ in sentences(". Darcy went", ["home"])]
    assert (first, second) == ([], ["darcy", "went"])


def test_a_limit_hides_words_but_not_what_ends_a_sentence() -> None:
    text = '"Oh!" said he.'
    assert [words for words, _ in sentences(text, limit=6)] == [["oh"]]
    assert [words for words, _ in sentences('"Oh!" Said he.', limit=6)] == [["oh"], []]


@REPEATABLE
@given(st.text(alphabet="aB'\u2019 .!-\n\"é1", max_size=200))
def test_sentences_lose_no_word(text: str) -> None:
    assert [word for words, _ in sentences(text) for word in words] == words_of(text)


@pytest.mark.parametrize("row", ["." * 50_000, "\n " * 50_000, "' " * 50_000, ".'" * 50_000])
def test_a_long_row_of_marks_is_read_once(row: str) -> None:
    """With a search of quadratic time this test would take minutes."""
    assert split_into_sentences(f"a {row}x")[0][0] == "a"


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("the", 1),
        ("whale", 1),
        ("table", 2),
        ("walked", 1),
        ("wanted", 2),
        ("houses", 2),
        ("captain", 2),
        ("melancholy", 4),
        ("hm", 1),
    ],
)
def test_syllables_follow_the_vowels(word: str, count: int) -> None:
    assert syllables_of(word) == count
