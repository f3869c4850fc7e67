"""The analysis of one part of a book: the task that runs in the workers.

Responsible for: everything counted in a part, which n-grams are worth sending, and a summary of at
most 100,000 bytes. Not responsible for: merging summaries (`report`), or moving them.

Theory of operation. `tally` reads the part once, sentence by sentence. An n-gram is two or three
words next to each other in one sentence; the context of the part takes part in n-grams but is
itself not counted, so each n-gram of the book is counted in exactly one part. `analyse` adds the
measures of style, ranks the n-grams by significance, and keeps what fits.

Departures. The counts of words are complete (unless a part is not prose: see `Summary`). N-grams
are not, because a part has some 11,000 distinct pairs and 16,000 distinct triples: those that
occur once in the part go first, then the least significant (negative, if the words avoid each
other). So the merged count of an n-gram is a lower bound. A sentence cut by a seam counts once,
where it begins, with the length it has there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

import msgspec

from grid.books.measures import (
    cohesion,
    match_lengths,
    moving_distinct_words,
    mtld_factors_millionths,
    quoted_characters,
    speakers,
)
from grid.books.parts import Part
from grid.books.significance import bigram_score, trigram_score
from grid.books.words import sentences, syllables_of

SUMMARY_BYTES_MAX = 100_000
GROWTH_STEP_WORDS = 1_000
SENTENCE_LENGTH_MAX = 100
GRADE_MAX = 20

# More than occur twice in 100 KB of prose: with these bounds only what occurs once is dropped from
# novels, and merging a part stays a hundred times cheaper than analysing it.
_BIGRAMS_MAX = 2_500
_TRIGRAMS_MAX = 1_000

# Up to this many the most significant of those that occur once are added: merged with other parts
# they may still repeat, but each costs the one client what a repeated one does.
_BIGRAMS_FILL = 1_500
_TRIGRAMS_FILL = 500

# What the summary may spend, in bytes; the rest is for everything of fixed size.
_LEXICON_BYTES_MAX = 75_000
_SPEAKERS_BYTES_MAX = 2_000
_FIXED_BYTES_MAX = 3_000
_BIGRAMS_SHARE = 0.6


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a part after its analysis. All numbers are whole and may be added.

    Lists of words are one string each, because one long string is decoded much faster than
    thousands of short ones.

    Attributes:
        words: number of words.
        sentences: number of sentences that begin in the part.
        syllables: of all words.
        characters: of the text.
        quoted_characters: those inside quotation marks.
        lexicon: the distinct words in order of first appearance, separated by blanks.
        counts: how often each word of the lexicon occurs.
        lexicon_dropped: distinct words that did not fit, the last to appear; 0 in prose.
        growth: distinct words of the lexicon met after each 1,000 words, and at the end.
        bigrams: the 2-grams kept, most significant first, separated by line feeds.
        bigram_counts: how often each of them occurs.
        bigrams_dropped: distinct 2-grams that were not kept.
        trigrams: as bigrams, for 3-grams.
        trigram_counts: as bigram_counts.
        trigrams_dropped: as bigrams_dropped.
        sentence_lengths: number of sentences of 0, 1, ... 99 words, and of 100 or more.
        grades: number of sentences by Flesch-Kincaid grade 0 (or less), 1, ... 19, and 20 or more.
        mtld_factors_millionths: see `measures`.
        window_types: distinct words summed over all windows of 500 words.
        windows: number of these windows.
        match_lengths: characters until the text says something new, summed over the places tried.
        match_places: number of these places.
        similarity_millionths: likeness of neighbouring passages, summed over the comparisons.
        comparisons: number of these comparisons.
        subject_shifts: see `measures.cohesion`.
        speakers: names of those who speak, most frequent first, separated by line feeds.
        speaker_counts: how often each speaks.
    """

    words: int
    sentences: int
    syllables: int
    characters: int
    quoted_characters: int
    lexicon: str
    counts: list[int]
    lexicon_dropped: int
    growth: list[int]
    bigrams: str
    bigram_counts: list[int]
    bigrams_dropped: int
    trigrams: str
    trigram_counts: list[int]
    trigrams_dropped: int
    sentence_lengths: list[int]
    grades: list[int]
    mtld_factors_millionths: int
    window_types: int
    windows: int
    match_lengths: int
    match_places: int
    similarity_millionths: int
    comparisons: int
    subject_shifts: int
    speakers: str
    speaker_counts: list[int]

    def encode(self) -> bytes:
        """Return the summary as MessagePack: at most 100,000 bytes for a part of 100 KB."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Summary":
        """Return the summary that `encode` wrote.

        Raises:
            msgspec.DecodeError: if these are not the bytes of a summary.
        """
        return _DECODER.decode(data)


_DECODER = msgspec.msgpack.Decoder(Summary)


@dataclass(slots=True)
class Tally:
    """All that is counted while a part is read once, before anything is dropped."""

    words: list[str] = field(default_factory=list)
    bigrams: Counter[tuple[str, ...]] = field(default_factory=Counter)
    trigrams: Counter[tuple[str, ...]] = field(default_factory=Counter)
    sentences: int = 0
    syllables: int = 0
    sentence_lengths: list[int] = field(default_factory=lambda: [0] * (SENTENCE_LENGTH_MAX + 1))
    grades: list[int] = field(default_factory=lambda: [0] * (GRADE_MAX + 1))


def tally(part: Part) -> Tally:
    """Count words, n-grams, sentences and syllables of a part."""
    result = Tally()
    # One string object per distinct word keeps the working set small, for cores that share a
    # cache.
    distinct: dict[str, str] = {}
    syllables: dict[str, int] = {}
    carried = part.context.split()
    for found, _ in sentences(part.text, carried):
        if not found:
            carried = []
            continue
        sentence = [distinct.setdefault(word, word) for word in found]
        run = [*carried, *sentence]
        # Of the carried words only n-grams that end in this part are counted here.
        pairs_begin = max(len(carried) - 1, 0)
        result.bigrams.update(zip(run[pairs_begin:], run[pairs_begin + 1 :], strict=False))
        result.trigrams.update(zip(run, run[1:], run[2:], strict=False))
        result.words += sentence
        spoken = 0
        for word in sentence:
            count = syllables.get(word)
            if count is None:
                count = syllables[word] = syllables_of(word)
            spoken += count
        result.syllables += spoken
        if not carried:
            result.sentences += 1
            result.sentence_lengths[min(len(sentence), SENTENCE_LENGTH_MAX)] += 1
            grade = int(flesch_kincaid_grade(len(sentence), 1, spoken))
            result.grades[min(max(grade, 0), GRADE_MAX)] += 1
        carried = []
    return result


def flesch_kincaid_grade(words: int, sentence_count: int, syllables: int) -> float:
    """Return the school grade that a text asks for.

    Source: J. Kincaid et al., "Derivation of New Readability Formulas", Naval Technical Training,
    1975.
    """
    return 0.39 * words / sentence_count + 11.8 * syllables / words - 15.59


def analyse(part: Part) -> Summary:
    """Analyse a part of a book: the work of one task, about a third of a second for 100 KB."""
    counted = tally(part)
    words = counted.words
    lexicon = Counter(words)
    kept_words = _fitting(lexicon.items(), _LEXICON_BYTES_MAX)
    speaking = _fitting(speakers(part.text).most_common(), _SPEAKERS_BYTES_MAX)
    room_bytes = (
        SUMMARY_BYTES_MAX - _FIXED_BYTES_MAX - _cost_bytes(kept_words) - _cost_bytes(speaking)
    )
    bigrams = _fitting(
        _ranked(counted.bigrams, bigram_score, lexicon, _BIGRAMS_MAX, _BIGRAMS_FILL),
        int(room_bytes * _BIGRAMS_SHARE),
    )
    room_bytes -= _cost_bytes(bigrams)
    trigrams = _fitting(
        _ranked(counted.trigrams, trigram_score, lexicon, _TRIGRAMS_MAX, _TRIGRAMS_FILL),
        room_bytes,
    )
    window_types, windows = moving_distinct_words(words)
    matched, match_places = match_lengths(words)
    likeness = cohesion(words)
    return Summary(
        words=len(words),
        sentences=counted.sentences,
        syllables=counted.syllables,
        characters=len(part.text),
        quoted_characters=quoted_characters(part.text),
        lexicon=" ".join(word for word, _ in kept_words),
        counts=[count for _, count in kept_words],
        lexicon_dropped=len(lexicon) - len(kept_words),
        growth=_growth(words, len(kept_words)),
        bigrams="\n".join(text for text, _ in bigrams),
        bigram_counts=[count for _, count in bigrams],
        bigrams_dropped=len(counted.bigrams) - len(bigrams),
        trigrams="\n".join(text for text, _ in trigrams),
        trigram_counts=[count for _, count in trigrams],
        trigrams_dropped=len(counted.trigrams) - len(trigrams),
        sentence_lengths=counted.sentence_lengths,
        grades=counted.grades,
        mtld_factors_millionths=mtld_factors_millionths(words),
        window_types=window_types,
        windows=windows,
        match_lengths=matched,
        match_places=match_places,
        similarity_millionths=likeness.similarity_millionths,
        comparisons=likeness.comparisons,
        subject_shifts=likeness.shifts,
        speakers="\n".join(name for name, _ in speaking),
        speaker_counts=[count for _, count in speaking],
    )


def _growth(words: Sequence[str], lexicon_length: int) -> list[int]:
    """Return the distinct words met after each 1,000 words, as far as the lexicon was kept."""
    met: set[str] = set()
    points: list[int] = []
    for begin in range(0, len(words), GROWTH_STEP_WORDS):
        met.update(words[begin : begin + GROWTH_STEP_WORDS])
        points.append(min(len(met), lexicon_length))
    return points


def _ranked(
    ngrams: Counter[tuple[str, ...]],
    score: Callable[..., int],
    lexicon: Counter[str],
    count_max: int,
    fill_max: int,
) -> list[tuple[str, int]]:
    """Return the n-grams worth sending, by falling significance.

    Those that repeat, `count_max` at most; then, up to `fill_max` in all, those that do not.
    """
    total = lexicon.total()
    count_of = lexicon.get
    kept: list[tuple[str, int]] = []
    for repeated in (True, False):
        # A carried word may be missing from the lexicon of this part; it did occur once.
        candidates = (
            (-score(count, *[count_of(word, 1) for word in ngram], total), " ".join(ngram), count)
            for ngram, count in ngrams.items()
            if (count > 1) == repeated
        )
        room = (count_max if repeated else fill_max) - len(kept)
        best = nsmallest(room, candidates) if room > 0 else []
        kept += [(text, count) for _, text, count in best]
    return kept


def _fitting(items: Iterable[tuple[str, int]], bytes_max: int) -> list[tuple[str, int]]:
    """Return the leading items that fit into so many bytes of the summary."""
    kept: list[tuple[str, int]] = []
    for item in items:
        bytes_max -= _cost_bytes([item])
        if bytes_max < 0:
            break
        kept.append(item)
    return kept


def _cost_bytes(items: Iterable[tuple[str, int]]) -> int:
    """Return what items cost in MessagePack: text, separator and count (at most 5 bytes)."""
    return sum(len(text.encode()) + (2 if count < 128 else 6) for text, count in items)
