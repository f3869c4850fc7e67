"""Measures of style, on texts whose measure is known."""

from collections import Counter

import pytest

from grid.books.measures import (
    DIVERSITY_WINDOW_WORDS,
    cohesion,
    match_lengths,
    moving_distinct_words,
    mtld_factors_millionths,
    quoted_characters,
    speakers,
)


def test_distinct_words_make_no_factor_and_repetition_many() -> None:
    assert mtld_factors_millionths([f"w{number}" for number in range(300)]) == 0
    # One word repeated falls below 0.72 at its second occurrence: 50 factors each way.
    assert mtld_factors_millionths(["a"] * 100) == 100_000_000


def test_moving_windows_agree_with_counting_each_window() -> None:
    words = [f"w{number * number % 701}" for number in range(1_200)]
    windows = len(words) - DIVERSITY_WINDOW_WORDS + 1
    expected = sum(
        len(set(words[begin : begin + DIVERSITY_WINDOW_WORDS])) for begin in range(windows)
    )
    assert moving_distinct_words(words) == (expected, windows)


def test_a_text_shorter_than_the_window_has_none() -> None:
    assert moving_distinct_words(["a"] * (DIVERSITY_WINDOW_WORDS - 1)) == (0, 0)


def test_repetitive_text_is_more_predictable_than_varied_text() -> None:
    varied = [f"{number * 7919 % 100_003:x}" for number in range(3_000)]
    repetitive = varied[:100] * 30
    lengths, places = match_lengths(varied)
    repetitive_lengths, repetitive_places = match_lengths(repetitive)
    assert 1 < lengths / places < 10 < repetitive_lengths / repetitive_places


def test_a_match_is_the_shortest_string_that_is_new() -> None:
    """The 10,000 characters before the only place tried hold ``a`` and blanks only."""
    assert match_lengths(["a"] * 5_000 + ["a", "b"]) == (3, 1)


def naive_cohesion(words: list[str]) -> list[float]:
    """Compare each 200 words with the next 200, every 20 words."""
    likeness = []
    for middle in range(200, len(words) - 200 + 1, 20):
        left, right = Counter(words[middle - 200 : middle]), Counter(words[middle : middle + 200])
        product = sum(count * right[word] for word, count in left.items())
        squares = [sum(count**2 for count in side.values()) for side in (left, right)]
        likeness.append(product / (squares[0] * squares[1]) ** 0.5)
    return likeness


def test_cohesion_kept_up_to_date_agrees_with_comparing_afresh() -> None:
    words = [f"w{number * number % 97}{number // 500}" for number in range(2_000)]
    fresh = naive_cohesion(words)
    found = cohesion(words)
    assert found.comparisons == len(fresh)
    assert found.similarity_millionths == pytest.approx(1_000_000 * sum(fresh), abs=len(fresh))


def test_a_change_of_subject_is_seen() -> None:
    words = [f"a{number % 40}" for number in range(1_000)]
    words += [f"b{number % 40}" for number in range(1_000)]
    assert cohesion(words).shifts == 1
    assert cohesion(words[:1_000]).shifts == 0


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('"Oh!" said he. "No."', 6),
        ("“Oh!” said he. “No.”", 6),
        ('"This goes on\n\n"into the next." He left', 12 + 14),
        ("'It's the boys' own,' said he", 19),
        ("'Tis not speech, the boys say", 0),
        ("He isn't; they're not", 0),
        ("”stray", 0),
    ],
)
def test_dialogue_is_what_stands_in_quotation_marks(text: str, quoted: int) -> None:
    assert quoted_characters(text) == quoted


def test_speakers_are_names_after_verbs_of_speech() -> None:
    text = """"No," said Emma. "Yes," replied Mr. Knightley; said Mr.\nKnightley again.
    "So," said he. "I," said I. "Well," cried Frank Churchill. said Emma's aunt"""
    assert speakers(text) == {
        "Emma": 1,
        "Mr. Knightley": 2,
        "Frank Churchill": 1,
    }
