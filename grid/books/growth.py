"""How the vocabulary of a book grows with its length.

Responsible for: the points of growth, replayed over the parts in their order, and the exponent of
the law that they follow. Not responsible for: what a part saw appear (`analysis`).
"""

from collections.abc import Mapping, Sequence
from math import fsum, log

from grid.books.analysis import GROWTH_STEP_WORDS

Appearance = tuple[int, str, list[int]]
"""Of one part: its number of words, its lexicon in order of appearance, and its growth."""


def growth_points(appearances: Mapping[int, Appearance]) -> list[tuple[int, int]]:
    """Return words read and distinct words met at each point of growth, by part index."""
    met: set[str] = set()
    points: list[tuple[int, int]] = []
    words_before = 0
    for _, (word_count, lexicon, growth) in sorted(appearances.items()):
        appeared = lexicon.split()
        begin = 0
        for number, end in enumerate(growth, start=1):
            met.update(appeared[begin:end])
            begin = end
            points.append((words_before + min(number * GROWTH_STEP_WORDS, word_count), len(met)))
        words_before += word_count
    return points


def growth_exponent(points: Sequence[tuple[int, int]]) -> float:
    """Fit Heaps' law, distinct = k * words ** exponent, by least squares of logarithms.

    Source: H. Heaps, "Information Retrieval", 1978, section 7.5.
    """
    lengths = [log(words) for words, distinct in points if distinct]
    sizes = [log(distinct) for _, distinct in points if distinct]
    if len(lengths) < 2:
        return 0.0
    length_mean, size_mean = fsum(lengths) / len(lengths), fsum(sizes) / len(sizes)
    spread = fsum((length - length_mean) ** 2 for length in lengths)
    slope = fsum(
        (length - length_mean) * (size - size_mean)
        for length, size in zip(lengths, sizes, strict=True)
    )
    return slope / spread if spread else 0.0
