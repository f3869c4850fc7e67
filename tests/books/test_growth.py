"""The growth of a vocabulary, on texts whose growth is known."""

import pytest

from grid.books.growth import growth_exponent, growth_points


def test_a_word_counts_where_it_appears_first_whatever_part_arrives_first() -> None:
    parts = {1: (1_200, "b c", [1, 2]), 0: (700, "a b", [2])}
    assert growth_points(parts) == [(700, 2), (1_700, 2), (1_900, 3)]


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_exponent_of_an_exact_law_is_found(exponent: float) -> None:
    points = [(words, round(1_000 * words**exponent)) for words in (100, 400, 900, 1_600)]
    assert growth_exponent(points) == pytest.approx(exponent)


def test_without_two_different_points_there_is_no_law() -> None:
    assert growth_exponent([]) == growth_exponent([(5, 5)]) == 0.0
    assert growth_exponent([(5, 5), (5, 5), (0, 0)]) == 0.0
