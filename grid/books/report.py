"""Merging the summaries of parts into one report.

Responsible for: the report of all books, equal whatever order the summaries came in, and cheap
next to the analysis. Not responsible for: analysing (`analysis`), or showing more of a report than
one line.

Theory of operation. `ReportBuilder.add` only adds whole numbers into one dictionary per book and
kind, which no order can change. What does depend on order, the growth of the vocabulary, is kept
aside per part and replayed in the order of the parts by `finish`. Every quotient and logarithm is
taken there, once, from the sums. The significance of n-grams is computed anew from the merged
counts, for those that may be shown.

Departures. A part that arrives twice counts once, because tasks may run more than once. A word
that several parts dropped is missing here too; see `analysis`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nlargest
from math import log2

import msgspec

from grid.books.analysis import Summary, flesch_kincaid_grade
from grid.books.authorship import closest_books
from grid.books.growth import Appearance, growth_exponent, growth_points
from grid.books.measures import (
    DIVERSITY_WINDOW_WORDS,
    MILLION,
    PREDICTABILITY_WINDOW_CHARACTERS,
)
from grid.books.significance import MILLI, bigram_score, trigram_score
from grid.books.words import FUNCTION_WORDS

_COLLOCATIONS_SHOWN = 12
_SPEAKERS_SHOWN = 6

# A capital after "replied" once in a book is often no name: He replied "Yes ... without the marks.
_SPEECHES_MIN = 2

# Rarer n-grams are no habit of a book, and scoring only the others keeps the merge cheap.
_NGRAM_COUNT_MIN = 4

# Sentences of this school grade and above count as hard: beyond school.
_HARD_GRADE = 12

# The numbers of a summary that are added as they are, in the order of `_Sums`.
_SUMMED = (
    "words",
    "sentences",
    "syllables",
    "characters",
    "quoted_characters",
    "lexicon_dropped",
    "bigrams_dropped",
    "trigrams_dropped",
    "mtld_factors_millionths",
    "window_types",
    "windows",
    "match_lengths",
    "match_places",
    "similarity_millionths",
    "comparisons",
    "subject_shifts",
)


class Collocation(msgspec.Struct, frozen=True, array_like=True):
    """Words that occur together more often than chance allows.

    Attributes:
        text: the words, lower case, separated by blanks.
        count: how often, at least; see `analysis` for what parts drop.
        score: log-likelihood ratio; above 10.83 chance is a worse than 1 in 1,000 explanation.
    """

    text: str
    count: int
    score: float


class BookReport(msgspec.Struct, frozen=True, array_like=True):
    """What the analysis found out about one book. Ratios of an empty book are 0.

    Attributes:
        book_index: the index under which its parts were added.
        parts: number of parts merged.
        words: number of words.
        distinct_words: number of different words.
        hapaxes: number of words that occur once in the book.
        sentences: number of sentences.
        sentence_words_mean: words in a sentence, on average.
        sentence_words_median: half of the sentences are no longer than this.
        reading_ease: Flesch, 1948; 100 is very easy, 0 very hard.
        school_grade: Flesch and Kincaid, 1975.
        hard_sentence_share: sentences of school grade 12 and above, of all.
        dialogue_share: characters inside quotation marks, of all.
        diversity_mtld: mean number of words until the type-token ratio falls below 0.72.
        diversity_window: mean share of distinct words in 500 successive words.
        bits_per_character: estimated entropy rate; what one more letter tells a reader.
        cohesion: mean likeness of neighbouring passages of 200 words, 0 to 1.
        words_per_subject: mean number of words between two changes of subject.
        growth_exponent: of Heaps' law; the vocabulary grows as this power of the length.
        growth: pairs of words read and distinct words met, after each 1,000 words of a part and at
            its end.
        bigrams: the most significant pairs of content words.
        trigrams: the most significant triples that begin and end with a content word.
        formulas: the most significant of all other triples, the book's habits of grammar.
        speakers: who speaks most often, with counts.
        closest_book_index: the book closest in style, or None if there are fewer than three.
        words_dropped: distinct words that parts had no room for; 0 in prose.
        ngrams_dropped: distinct n-grams that parts did not send, summed over the parts.
    """

    book_index: int
    parts: int
    words: int
    distinct_words: int
    hapaxes: int
    sentences: int
    sentence_words_mean: float
    sentence_words_median: int
    reading_ease: float
    school_grade: float
    hard_sentence_share: float
    dialogue_share: float
    diversity_mtld: float
    diversity_window: float
    bits_per_character: float
    cohesion: float
    words_per_subject: float
    growth_exponent: float
    growth: tuple[tuple[int, int], ...]
    bigrams: tuple[Collocation, ...]
    trigrams: tuple[Collocation, ...]
    formulas: tuple[Collocation, ...]
    speakers: tuple[tuple[str, int], ...]
    closest_book_index: int | None
    words_dropped: int
    ngrams_dropped: int

    def one_line(self, title: str) -> str:
        """Return what was found out about the book as one line of a table, some 100 characters."""
        found = [*self.bigrams[:3], *self.trigrams[:1]]
        facts = [", ".join(f"“{collocation.text}”" for collocation in found)]
        if self.speakers:
            facts.append(f"most heard: {self.speakers[0][0]}")
        facts.append(f"grade {self.school_grade:.0f}")
        facts.append(f"{self.dialogue_share:.0%} dialogue")
        return f"{title}: " + "; ".join(fact for fact in facts if fact)


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What the analysis found out about all books.

    Attributes:
        words: number of words in all books.
        distinct_words: number of different words in all books together.
        sentences: number of sentences in all books.
        books: one report per book, by book index.
    """

    words: int
    distinct_words: int
    sentences: int
    books: tuple[BookReport, ...]

    def encode(self) -> bytes:
        """Return the report as MessagePack; equal reports give equal bytes."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Report":
        """Return the report that `encode` wrote.

        Raises:
            msgspec.DecodeError: if these are not the bytes of a report.
        """
        return msgspec.msgpack.decode(data, type=cls)


@dataclass(slots=True)
class _BookSums:
    """The summaries of one book, added up."""

    sums: list[int] = field(default_factory=lambda: [0] * len(_SUMMED))
    lexicon: dict[str, int] = field(default_factory=dict)
    bigrams: dict[str, int] = field(default_factory=dict)
    trigrams: dict[str, int] = field(default_factory=dict)
    speakers: dict[str, int] = field(default_factory=dict)
    sentence_lengths: list[int] = field(default_factory=list)
    grades: list[int] = field(default_factory=list)
    appearances: dict[int, Appearance] = field(default_factory=dict)
    # Computed before the end, without the book closest in style; outdated by further parts.
    report: BookReport | None = None

    def total(self, name: str) -> int:
        """Return one of the numbers named in `_SUMMED`."""
        return self.sums[_SUMMED.index(name)]


class ReportBuilder:
    """Merges summaries as they arrive. Not for several threads at once."""

    def __init__(self) -> None:
        """Begin with no books."""
        self._books: dict[int, _BookSums] = {}

    def add(self, book_index: int, part_index: int, summary: Summary) -> None:
        """Merge the summary of one part; a part that was merged before is ignored."""
        book = self._books.setdefault(book_index, _BookSums())
        if part_index in book.appearances:
            return
        book.report = None
        book.appearances[part_index] = (summary.words, summary.lexicon, summary.growth)
        book.sums = [
            total + getattr(summary, name) for total, name in zip(book.sums, _SUMMED, strict=True)
        ]
        _add_counts(book.lexicon, summary.lexicon.split(), summary.counts)
        _add_counts(book.bigrams, summary.bigrams.splitlines(), summary.bigram_counts)
        _add_counts(book.trigrams, summary.trigrams.splitlines(), summary.trigram_counts)
        _add_counts(book.speakers, summary.speakers.splitlines(), summary.speaker_counts)
        book.sentence_lengths = _added(book.sentence_lengths, summary.sentence_lengths)
        book.grades = _added(book.grades, summary.grades)

    def complete(self, book_index: int) -> None:
        """Compute a book's report now: all of its parts are here, and those of others are not.

        While workers work this costs nobody's time; at the end everybody waits for it.
        """
        book = self._books[book_index]
        book.report = _book_report(book_index, book)

    def finish(self) -> Report:
        """Return the report of all that was added; more may be added afterwards."""
        ordered = sorted(self._books.items())
        closest = closest_books(
            [book.lexicon for _, book in ordered], [book.total("words") for _, book in ordered]
        )
        distinct: set[str] = set()
        reports: list[BookReport] = []
        for (book_index, book), position in zip(ordered, closest, strict=True):
            distinct.update(book.lexicon)
            closest_index = None if position is None else ordered[position][0]
            report = book.report or _book_report(book_index, book)
            reports.append(msgspec.structs.replace(report, closest_book_index=closest_index))
        return Report(
            words=sum(report.words for report in reports),
            distinct_words=len(distinct),
            sentences=sum(report.sentences for report in reports),
            books=tuple(reports),
        )


def _add_counts(totals: dict[str, int], names: Iterable[str], counts: Iterable[int]) -> None:
    """Add counts to totals. A plain loop: Counter.update does the same, less directly."""
    count_so_far = totals.get
    for name, count in zip(names, counts, strict=True):
        totals[name] = count_so_far(name, 0) + count


def _added(totals: list[int], numbers: list[int]) -> list[int]:
    """Return the sums of two lists, position by position; the totals may still be empty."""
    return [a + b for a, b in zip(totals, numbers, strict=True)] if totals else numbers


def _book_report(book_index: int, book: _BookSums) -> BookReport:
    """Compute the report of a book from its sums, without the book closest in style."""
    total = book.total
    words, sentence_count = total("words"), total("sentences")
    growth = growth_points(book.appearances)
    matched = _ratio(total("match_lengths"), total("match_places"))
    bigrams, trigrams, formulas = _collocations(book)
    return BookReport(
        book_index=book_index,
        parts=len(book.appearances),
        words=words,
        distinct_words=len(book.lexicon),
        hapaxes=sum(count == 1 for count in book.lexicon.values()),
        sentences=sentence_count,
        sentence_words_mean=_ratio(words, sentence_count),
        sentence_words_median=_median(book.sentence_lengths),
        reading_ease=_reading_ease(words, sentence_count, total("syllables")),
        school_grade=_school_grade(words, sentence_count, total("syllables")),
        hard_sentence_share=_ratio(sum(book.grades[_HARD_GRADE:]), sum(book.grades)),
        dialogue_share=_ratio(total("quoted_characters"), total("characters")),
        diversity_mtld=_ratio(2 * words * MILLION, total("mtld_factors_millionths")),
        diversity_window=_ratio(total("window_types"), total("windows") * DIVERSITY_WINDOW_WORDS),
        bits_per_character=log2(PREDICTABILITY_WINDOW_CHARACTERS) / matched if matched else 0.0,
        cohesion=_ratio(total("similarity_millionths"), total("comparisons") * MILLION),
        words_per_subject=_ratio(words, total("subject_shifts")),
        growth_exponent=growth_exponent(growth),
        growth=tuple(growth),
        bigrams=bigrams,
        trigrams=trigrams,
        formulas=formulas,
        speakers=_most_heard(book.speakers),
        closest_book_index=None,
        words_dropped=total("lexicon_dropped"),
        ngrams_dropped=total("bigrams_dropped") + total("trigrams_dropped"),
    )


def _collocations(
    book: _BookSums,
) -> tuple[tuple[Collocation, ...], tuple[Collocation, ...], tuple[Collocation, ...]]:
    """Return the best 2-grams, 3-grams between content words, and all other 3-grams."""
    words = book.total("words")
    # A word that every part dropped is missing; it did occur at least once.
    count_of = book.lexicon.get
    bigrams: list[tuple[int, str, int]] = []
    for text, count in book.bigrams.items():
        if count < _NGRAM_COUNT_MIN:
            continue
        a, b = text.split()
        if a not in FUNCTION_WORDS and b not in FUNCTION_WORDS:
            score = bigram_score(count, count_of(a, 1), count_of(b, 1), words)
            bigrams.append((score, text, count))
    trigrams: list[tuple[int, str, int]] = []
    formulas: list[tuple[int, str, int]] = []
    for text, count in book.trigrams.items():
        if count < _NGRAM_COUNT_MIN:
            continue
        a, b, c = text.split()
        score = trigram_score(count, count_of(a, 1), count_of(b, 1), count_of(c, 1), words)
        bare = a in FUNCTION_WORDS or c in FUNCTION_WORDS
        (formulas if bare else trigrams).append((score, text, count))
    return _best(bigrams), _best(trigrams), _best(formulas)


def _best(scored: list[tuple[int, str, int]]) -> tuple[Collocation, ...]:
    """Return the most significant n-grams; texts decide between equals."""
    return tuple(
        Collocation(text, count, score / MILLI)
        for score, text, count in nlargest(_COLLOCATIONS_SHOWN, scored)
    )


def _most_heard(speeches: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Return those who speak most often; names decide between equals."""
    often = [(name, count) for name, count in speeches.items() if count >= _SPEECHES_MIN]
    return tuple(sorted(often, key=lambda item: (-item[1], item[0]))[:_SPEAKERS_SHOWN])


def _median(histogram: list[int]) -> int:
    """Return the least value that at least half of the counted things do not exceed."""
    half = (sum(histogram) + 1) // 2
    reached = 0
    for value, count in enumerate(histogram):
        reached += count
        if reached >= half:
            return value
    return 0


def _reading_ease(words: int, sentence_count: int, syllables: int) -> float:
    """Return the reading ease after R. Flesch, "A New Readability Yardstick", 1948."""
    if not words or not sentence_count:
        return 0.0
    return 206.835 - 1.015 * words / sentence_count - 84.6 * syllables / words


def _school_grade(words: int, sentence_count: int, syllables: int) -> float:
    """Return the Flesch-Kincaid grade, or 0 for an empty book."""
    if not words or not sentence_count:
        return 0.0
    return flesch_kincaid_grade(words, sentence_count, syllables)


def _ratio(part: int, whole: int) -> float:
    """Return the quotient, or 0 if there is nothing to divide by."""
    return part / whole if whole else 0.0
