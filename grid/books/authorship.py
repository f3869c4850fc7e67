"""Which books are closest in style.

Responsible for: the distance of books by the words that nobody chooses on purpose.
Not responsible for: a verdict on who wrote what; the nearest of twenty books need not be near.

Theory of operation. J. Burrows, "'Delta': a Measure of Stylistic Difference and a Guide to Likely
Authorship", Literary and Linguistic Computing 17(3), 2002: rates of function words, as standard
scores over all books; the distance of two books is the mean absolute difference. Books are taken
in the order of their index and rates are exact quotients, so the outcome does not depend on the
order of arrival.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean

from grid.books.words import FUNCTION_WORDS

_MARKERS = sorted(word for word in FUNCTION_WORDS if len(word) > 1)


def closest_books(
    lexicons: Sequence[Mapping[str, int]], word_counts: Sequence[int]
) -> list[int | None]:
    """Return, for each book, the position of the book closest in style.

    Args:
        lexicons: how often each word occurs, for each book.
        word_counts: number of words of each book.

    Returns:
        One position per book; None everywhere if there are fewer than three books, as every
        distance would be the same.
    """
    if len(lexicons) < 3:
        return [None] * len(lexicons)
    profiles: list[list[float]] = [[] for _ in lexicons]
    for word in _MARKERS:
        rates = [
            lexicon.get(word, 0) / max(words, 1)
            for lexicon, words in zip(lexicons, word_counts, strict=True)
        ]
        if min(rates) == max(rates):
            continue
        mean = fmean(rates)
        # Not statistics.pstdev, which computes with fractions: slow, and exact for nothing here.
        spread = sqrt(fmean((rate - mean) ** 2 for rate in rates))
        for profile, rate in zip(profiles, rates, strict=True):
            profile.append((rate - mean) / spread)
    return [
        min(
            (position for position in range(len(profiles)) if position != own),
            key=lambda other: (
                sum(abs(a - b) for a, b in zip(profiles[own], profiles[other], strict=True)),
                other,
            ),
        )
        for own in range(len(profiles))
    ]
