"""Where a book is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.books.parts import Part, split
from grid.books.words import sentences

from .novels import needs_novels, novel

# The same examples each time, however slow the machine is.
REPEATABLE = settings(deadline=None, derandomize=True)

TEXTS = st.text(alphabet="abC'. !\n\"é\u2019—\U0001d518-", max_size=300) | st.text(max_size=100)


@REPEATABLE
@given(TEXTS, st.integers(4, 60))
def test_parts_join_to_the_book_and_keep_within_their_size(text: str, part_bytes: int) -> None:
    parts = split(text, part_bytes)
    assert "".join(part.text for part in parts) == text
    assert [part.index for part in parts] == list(range(len(parts)))
    assert all(0 < len(part.text.encode()) <= part_bytes for part in parts)


def test_an_empty_book_has_no_parts() -> None:
    assert split("") == []


def test_a_part_too_small_for_one_character_is_refused() -> None:
    with pytest.raises(ValueError, match="part_bytes is 3"):
        split("text", 3)


def test_a_paragraph_break_is_preferred_to_a_later_sentence_end() -> None:
    parts = split("aaaa bbbb cccc.\n\ndddd. Eeee. Ffff gggg", 30)
    assert [part.text for part in parts] == ["aaaa bbbb cccc.\n\n", "dddd. Eeee. Ffff gggg"]
    assert [part.context for part in parts] == ["", ""]


def test_a_sentence_end_is_preferred_to_later_white_space() -> None:
    parts = split("aaaa bbbb cccc. Dddd Mr. eeee ffff", 30)
    assert [part.text for part in parts] == ["aaaa bbbb cccc. ", "Dddd Mr. eeee ffff"]
    assert [part.context for part in parts] == ["", ""]


def test_a_cut_in_a_sentence_carries_its_last_two_words() -> None:
    parts = split("Aaaa bbbb cccc dddd eeee ffff", 12)
    assert [part.text for part in parts] == ["Aaaa bbbb ", "cccc dddd ", "eeee ffff"]
    assert [part.context for part in parts] == ["", "aaaa bbbb", "cccc dddd"]


def test_words_are_carried_over_parts_of_one_word() -> None:
    parts = split("one two six ten", 5)
    assert [part.context for part in parts] == ["", "one", "one two", "two six"]


def test_words_are_not_carried_over_a_sentence_end() -> None:
    parts = split("aa. Bbbbb ccccc ddddd eeeee", 12)
    assert [part.context for part in parts] == ["", "bbbbb", "ccccc ddddd"]


def test_a_line_without_white_space_is_cut_between_words() -> None:
    parts = split("aaaa-bbbb-cccc", 8)
    assert [part.text for part in parts] == ["aaaa-", "bbbb-", "cccc"]
    assert [part.context for part in parts] == ["", "aaaa", "aaaa bbbb"]


def test_a_giant_word_is_cut_between_characters() -> None:
    parts = split("é" * 10, 5)
    assert [part.text for part in parts] == ["éé"] * 5


def test_a_part_survives_its_journey() -> None:
    part = Part(3, "of the", "wind — and “rain”")
    assert Part.decode(part.encode()) == part


def test_a_giant_sentence_is_read_once_per_part() -> None:
    """If each part read on to the end of the sentence this test would take minutes."""
    assert len(split("word " * 400_000, 20_000)) == 100


@needs_novels
def test_parts_of_a_novel_are_nearly_full_and_begin_with_sentences() -> None:
    parts = split(novel("melville-moby-dick.txt"))
    assert {part.context for part in parts} == {""}
    assert min(len(part.text.encode()) for part in parts[:-1]) > 95_000


@needs_novels
def test_a_novel_of_one_giant_line_is_cut_at_sentence_ends() -> None:
    text = " ".join(novel("conrad-heart-of-darkness.txt").split())
    parts = split(text, 10_000)
    assert {part.context for part in parts} == {""}
    whole = [words for words, _ in sentences(text) if words]
    assert [w for part in parts for w, _ in sentences(part.text) if w] == whole
