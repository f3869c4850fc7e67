"""The log-likelihood ratios."""

import pytest

from grid.books.significance import bigram_score, trigram_score


def test_score_of_a_bigram_is_that_of_the_paper() -> None:
    """Dunning 1993, table 2, "the swiss": k11 = 110, k12 = 2442, k21 = 111, k22 = 29114."""
    assert bigram_score(110, 2552, 221, 31777) / 1_000 == pytest.approx(270.72, abs=0.01)


def test_independent_words_score_nothing() -> None:
    assert bigram_score(10, 100, 100, 1_000) == 0
    assert trigram_score(1, 100, 100, 100, 1_000) == 0


def test_words_that_avoid_each_other_score_below_zero() -> None:
    assert bigram_score(1, 100, 100, 1_000) < 0
    assert trigram_score(1, 300, 300, 300, 1_000) < 0


def test_more_evidence_of_the_same_kind_scores_higher() -> None:
    assert bigram_score(20, 40, 40, 10_000) > bigram_score(2, 4, 4, 1_000) > 0
    assert trigram_score(8, 10, 10, 10, 10_000) > trigram_score(4, 10, 10, 10, 10_000) > 0


@pytest.mark.parametrize("counts", [(1, 1, 1, 1), (2, 1, 1, 2), (3, 1, 1, 5), (5, 5, 5, 5)])
def test_margins_too_small_for_the_pair_are_survived(counts: tuple[int, int, int, int]) -> None:
    """Carried words are missing from the margins of tiny parts."""
    pair, first, second, total = counts
    bigram_score(pair, first, second, total)
    trigram_score(pair, first, second, first, total)
