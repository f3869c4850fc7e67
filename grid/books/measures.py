"""Measures of style that need the running text, not only counts of words.

Responsible for: lexical diversity, predictability, cohesion, dialogue and who speaks, for one
part. Not responsible for: counting words and n-grams (`analysis`), or merging (`report`).

Theory of operation. Each measure returns whole numbers that may be added over parts, in any order,
and divided at the end; so the merged figure is exact and does not depend on which part arrived
first. Windows never reach over a seam, which costs a part of 18,000 words less than three windows
in a hundred.

Sources, one for each measure, are named where it is computed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from math import sqrt
from statistics import fmean, pstdev
from typing import NamedTuple

from grid.books.words import FUNCTION_WORDS

MILLION = 1_000_000

DIVERSITY_WINDOW_WORDS = 500
PREDICTABILITY_WINDOW_CHARACTERS = 10_000
_PREDICTABILITY_STEP_CHARACTERS = 8

# Prose hardly ever repeats half as much; only a text that repeats for ever must be kept from taking
# for ever.
_MATCH_CHARACTERS_MAX = 100

# McCarthy and Jarvis, 2010: a factor is complete when the type-token ratio falls below 0.72.
_MTLD_RATIO_PERCENT = 72

# Hearst, 1997: pseudo-sentences of 20 words, compared in blocks of 10.
_TILE_WORDS = 20
_BLOCK_TILES = 10
_SMOOTHING_COMPARISONS = 5

# A part with so many times more opening single marks than double marks speaks in single ones. Not
# simply more, as speech inside speech makes both frequent: "Heart of Darkness" reaches 2.7, novels
# that speak in single marks nearly always more than 3.
_SINGLE_MARKS_PER_DOUBLE_MIN = 3
_QUOTES = re.compile(r"""(["“”])|(['\u2018\u2019])|(\n[^\S\n]*\n)""")

_SPEAKER = re.compile(
    r"""\b(?:said|cried|replied|asked|answered|exclaimed|returned|added|whispered
        |continued|observed|remarked|repeated|inquired|murmured|muttered)[ \n]
        ((?:(?:Mr|Mrs|Dr|St|Miss|Sir|Lady|Lord|Captain|Aunt|Uncle)\.?[ \n])?
        [A-ZÀ-ÞŒ][^\W\d_]{1,19}(?:[ \n][A-ZÀ-ÞŒ][^\W\d_]{1,19})?)(?!['\u2019]?\w)""",
    re.VERBOSE,
)


class Cohesion(NamedTuple):
    """How alike neighbouring passages are, and how often the subject changes."""

    similarity_millionths: int
    comparisons: int
    shifts: int


def mtld_factors_millionths(words: Sequence[str]) -> int:
    """Return the factors of the text read forwards plus backwards, in millionths.

    Twice the number of words divided by the factors is the measure of textual lexical diversity,
    which, unlike the type-token ratio, does not fall with length.
    Source: P. McCarthy, S. Jarvis, "MTLD, vocd-D, and HD-D", Behavior Research Methods 42, 2010.
    """
    factors_millionths = 0
    for reading in (iter(words), reversed(words)):
        types: set[str] = set()
        word_count = 0
        for word in reading:
            types.add(word)
            word_count += 1
            if 100 * len(types) < _MTLD_RATIO_PERCENT * word_count:
                factors_millionths += MILLION
                types.clear()
                word_count = 0
        if word_count:
            repeats_percent = 100 * (word_count - len(types)) // word_count
            factors_millionths += MILLION * repeats_percent // (100 - _MTLD_RATIO_PERCENT)
    return factors_millionths


def moving_distinct_words(words: Sequence[str]) -> tuple[int, int]:
    """Return the distinct words summed over all windows of 500 words, and the number of windows.

    Source: M. Covington, J. McFall, "Cutting the Gordian Knot: The Moving-Average Type-Token Ratio
    (MATTR)", Journal of Quantitative Linguistics 17(2), 2010.
    """
    if len(words) < DIVERSITY_WINDOW_WORDS:
        return 0, 0
    counts = Counter(islice(words, DIVERSITY_WINDOW_WORDS))
    distinct = total = len(counts)
    for leaving, entering in zip(words, islice(words, DIVERSITY_WINDOW_WORDS, None), strict=False):
        counts[entering] += 1
        distinct += counts[entering] == 1
        counts[leaving] -= 1
        if not counts[leaving]:
            del counts[leaving]
            distinct -= 1
        total += distinct
    return total, len(words) - DIVERSITY_WINDOW_WORDS + 1


def match_lengths(words: Sequence[str]) -> tuple[int, int]:
    """Return how far the text repeats what was read lately, and the number of places tried.

    At every eighth character: the length of the shortest string that begins there and does not
    occur in the 10,000 characters before. The logarithm of the window divided by the mean length
    estimates the entropy rate: how many bits a reader who knows the last pages needs for one more
    letter.
    Source: I. Kontoyiannis et al., "Nonparametric Entropy Estimation for Stationary Processes and
    Random Fields", IEEE Transactions on Information Theory 44(3), 1998, equation for a sliding
    window.
    """
    text = " ".join(words)
    total = places = 0
    end = len(text)
    for place in range(PREDICTABILITY_WINDOW_CHARACTERS, end, _PREDICTABILITY_STEP_CHARACTERS):
        length = 1
        # A longer string cannot occur before the first place of a shorter one: search on from it.
        found = text.find(text[place], place - PREDICTABILITY_WINDOW_CHARACTERS, place)
        longest = min(_MATCH_CHARACTERS_MAX, end - place)
        while found >= 0 and length < longest:
            length += 1
            found = text.find(text[place : place + length], found, place)
        total += length
        places += 1
    return total, places


def cohesion(words: Sequence[str]) -> Cohesion:
    """Compare neighbouring passages of 200 words by the content words they share.

    Subject shifts are the clear valleys between two peaks of likeness.
    Source: M. Hearst, "TextTiling: Segmenting Text into Multi-paragraph Subtopic Passages",
    Computational Linguistics 23(1), 1997; with her smoothing of the curve by a moving average.
    """
    tiles = [
        [word for word in words[begin : begin + _TILE_WORDS] if word not in FUNCTION_WORDS]
        for begin in range(0, len(words) - _TILE_WORDS + 1, _TILE_WORDS)
    ]
    left: defaultdict[str, int] = defaultdict(int)
    right: defaultdict[str, int] = defaultdict(int)
    # Squared lengths and the product of both vectors are kept up to date, in whole numbers.
    left_square = right_square = product = 0
    similarities: list[int] = []
    for index in range(len(tiles) + 1):
        if index >= 2 * _BLOCK_TILES and left_square and right_square:
            similarities.append(round(MILLION * product / sqrt(left_square * right_square)))
        if index == len(tiles):
            break
        for word in tiles[index]:
            right_square += 2 * right[word] + 1
            right[word] += 1
            product += left[word]
        if index >= _BLOCK_TILES:
            for word in tiles[index - _BLOCK_TILES]:
                right_square -= 2 * right[word] - 1
                right[word] -= 1
                product -= left[word]
                left_square += 2 * left[word] + 1
                left[word] += 1
                product += right[word]
        if index >= 2 * _BLOCK_TILES:
            for word in tiles[index - 2 * _BLOCK_TILES]:
                left_square -= 2 * left[word] - 1
                left[word] -= 1
                product -= right[word]
    smooth = [
        sum(similarities[index : index + _SMOOTHING_COMPARISONS])
        for index in range(len(similarities) - _SMOOTHING_COMPARISONS + 1)
    ]
    return Cohesion(sum(similarities), len(similarities), _valleys(smooth))


def _valleys(heights: list[int]) -> int:
    """Count the valleys whose depth, to the peaks beside them, exceeds Hearst's threshold."""
    depths: list[int] = []
    last = len(heights) - 1
    for index in range(1, last):
        height = heights[index]
        if not heights[index - 1] > height <= heights[index + 1]:
            continue
        left = right = index
        while left > 0 and heights[left - 1] >= heights[left]:
            left -= 1
        while right < last and heights[right + 1] >= heights[right]:
            right += 1
        depths.append(heights[left] + heights[right] - 2 * height)
    if not depths:
        return 0
    threshold = fmean(depths) - pstdev(depths) / 2
    return sum(depth >= threshold for depth in depths)


def quoted_characters(text: str) -> int:
    """Return how many characters stand inside quotation marks.

    Straight and curly marks are alike. A paragraph ends every quotation, as novels open it anew.
    Double marks are dialogue unless the part prefers single ones; then those are, told from
    apostrophes by the letters around them, and one that is never closed is taken for an
    apostrophe.
    """
    marks = [(mark.start(), mark.lastindex) for mark in _QUOTES.finditer(text)]
    double_count = sum(kind == 1 for _, kind in marks)
    single_count = sum(kind == 2 and _opens(text, place, 2) for place, kind in marks)
    quote_kind = 2 if single_count > _SINGLE_MARKS_PER_DOUBLE_MIN * double_count else 1
    total = 0
    opened = -1
    for place, kind in [*marks, (len(text), 3)]:
        if kind == 3:
            if opened >= 0 and quote_kind == 1:
                total += place - opened - 1
            opened = -1
        elif kind != quote_kind:
            continue
        elif opened < 0:
            if _opens(text, place, quote_kind):
                opened = place
        elif quote_kind == 1 or _closes(text, place):
            total += place - opened - 1
            opened = -1
    return total


def _opens(text: str, place: int, quote_kind: int) -> bool:
    """Tell whether the mark at this place may open a quotation."""
    if quote_kind == 1:
        return text[place] != "”"
    return not text[max(place - 1, 0) : place].isalnum() and text[place + 1 : place + 2].isalpha()


def _closes(text: str, place: int) -> bool:
    """Tell whether a single mark closes a quotation: speech ends with a stop or a comma."""
    return not text[place - 1].isalnum() and not text[place + 1 : place + 2].isalnum()


def speakers(text: str) -> Counter[str]:
    """Count who speaks: the names after ``said``, ``cried``, ``replied`` and their like."""
    return Counter(" ".join(match[1].split()) for match in _SPEAKER.finditer(text))
