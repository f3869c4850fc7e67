"""How surprising it is that words occur together.

Responsible for: the log-likelihood ratio of 2-grams and 3-grams, in workers and again in the
merge. Not responsible for: counting (`analysis`), or choosing what is shown (`report`).

Theory of operation. T. Dunning, "Accurate Methods for the Statistics of Surprise and Coincidence",
Computational Linguistics 19(1), 1993: twice the logarithm of how much likelier the counts are if
the words attract each other than if they are independent. Unlike chi-squared it holds for rare
events, which most n-grams are. Above 10.83 chance is a worse than 1 in 1,000 explanation
(chi-squared, one degree of freedom).

A 2-gram is judged by its full 2 x 2 table. A 3-gram is judged by Dunning's binomial form against
three independent words, because that needs no counts but those of words, which every part reports
in full; the eight-cell table would need counts of pairs that parts have dropped.

Scores are signed, negative if the words avoid each other, and are whole thousandths: two machines
whose logarithms differ in the last bit agree on the ranking but for one chance in millions.
"""

from math import log

MILLI = 1_000


def bigram_score(pair: int, first: int, second: int, total: int) -> int:
    """Return the signed log-likelihood ratio of a 2-gram, in thousandths.

    Args:
        pair: how often the two words are adjacent, in this order.
        first: how often the first word occurs.
        second: how often the second word occurs.
        total: number of words.
    """
    # Words at the ends of sentences belong to no pair, so the margins are slightly too large and a
    # cell can come out below zero in tiny texts; an empty cell adds nothing.
    only_first, only_second = first - pair, second - pair
    neither = total - first - second + pair
    ratio = pair * log(pair * total / (first * second))
    if only_first > 0 and total > second:
        ratio += only_first * log(only_first * total / (first * (total - second)))
    if only_second > 0 and total > first:
        ratio += only_second * log(only_second * total / ((total - first) * second))
    if neither > 0 and total > first and total > second:
        ratio += neither * log(neither * total / ((total - first) * (total - second)))
    signed = ratio if pair * total > first * second else -ratio
    return round(2 * MILLI * signed)


def trigram_score(triple: int, first: int, second: int, third: int, total: int) -> int:
    """Return the signed log-likelihood ratio of a 3-gram, in thousandths.

    Args:
        triple: how often the three words follow each other.
        first: how often the first word occurs.
        second: how often the second word occurs.
        third: how often the third word occurs.
        total: number of words.
    """
    expected = first * second * third / (total * total)
    ratio = triple * log(triple / expected)
    rest = total - triple
    if rest > 0 and total > expected:
        ratio += rest * log(rest / (total - expected))
    signed = ratio if triple > expected else -ratio
    return round(2 * MILLI * signed)
