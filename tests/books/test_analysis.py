"""What is counted in a part, and what is sent of it."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.books.analysis import SUMMARY_BYTES_MAX, Summary, Tally, analyse, tally
from grid.books.parts import PART_BYTES, Part, split

from .novels import needs_novels, novel

# The same examples each time, however slow the machine is.
REPEATABLE = settings(deadline=None, derandomize=True)

# Pieces that make sentences, paragraphs and abbreviations fall anywhere. No word is longer than
# half the smallest part, so that no cut divides one.
PIECES = [
    "aa ", "b ", "Mr. ", "Xi! ", "d\n\n", '"Oh!" ', "e--", "X!--", "  ", "\n", "\n \n ",
    "f, ", "J. ", "Don\u2019t ", ". ", "i. ",
]  # fmt: skip
PROSE = st.lists(st.sampled_from(PIECES), max_size=80).map("".join)


def together(tallies: list[Tally]) -> tuple[object, ...]:
    """Add tallies up."""
    return (
        [word for one in tallies for word in one.words],
        sum((one.bigrams for one in tallies), Counter()),
        sum((one.trigrams for one in tallies), Counter()),
        sum(one.sentences for one in tallies),
        sum(one.syllables for one in tallies),
    )


@REPEATABLE
@given(PROSE, st.integers(16, 60))
def test_parts_count_together_what_the_whole_counts(text: str, part_bytes: int) -> None:
    parts = split(text, part_bytes)
    assert together([tally(part) for part in parts]) == together([tally(Part(0, "", text))])


def test_ngrams_across_a_seam_are_counted_once() -> None:
    parts = split("Aaaa bbbb cccc dddd", 12)
    assert [part.text for part in parts] == ["Aaaa bbbb ", "cccc dddd"]
    first, second = map(tally, parts)
    assert first.bigrams == {("aaaa", "bbbb"): 1}
    assert second.bigrams == {("bbbb", "cccc"): 1, ("cccc", "dddd"): 1}
    assert first.trigrams == {}
    assert second.trigrams == {("aaaa", "bbbb", "cccc"): 1, ("bbbb", "cccc", "dddd"): 1}


def test_ngrams_do_not_cross_a_sentence_end() -> None:
    assert tally(Part(0, "", "He went. She came.")).bigrams == {
        ("he", "went"): 1,
        ("she", "came"): 1,
    }


def test_a_sentence_cut_by_a_seam_counts_where_it_begins() -> None:
    counts = [tally(part).sentences for part in split("Aaaa bbbb cccc dddd. Eeee", 12)]
    assert counts == [1, 0, 1]


@needs_novels
def test_parts_of_a_novel_without_paragraphs_or_stops_count_what_the_whole_counts() -> None:
    """Every seam then cuts a sentence."""
    text = " ".join(novel("conrad-heart-of-darkness.txt").replace(".", ",").split())
    text = text.replace("!", ",").replace("?", ",").replace("…", ",")
    parts = split(text, 10_000)
    assert all(part.context for part in parts[1:])
    assert together([tally(part) for part in parts]) == together([tally(Part(0, "", text))])


@needs_novels
def test_a_novel_drops_no_word_and_no_pair_that_its_part_repeats() -> None:
    for part in split(novel("melville-moby-dick.txt"))[:3]:
        summary, counted = analyse(part), tally(part)
        assert summary.lexicon_dropped == 0
        kept = dict(zip(summary.bigrams.splitlines(), summary.bigram_counts, strict=True))
        repeated = {" ".join(pair): n for pair, n in counted.bigrams.items() if n > 1}
        assert repeated.items() <= kept.items()
        assert summary.bigrams_dropped == len(counted.bigrams) - len(kept)


def test_a_short_part_sends_all_it_counts() -> None:
    summary = analyse(Part(0, "", "Call me Ishmael. Some years ago, call me so."))
    assert summary.lexicon == "call me ishmael some years ago so"
    assert summary.counts == [2, 2, 1, 1, 1, 1, 1]
    assert set(summary.bigrams.splitlines()) == {
        "call me", "me ishmael", "some years", "years ago", "ago call", "me so",
    }  # fmt: skip
    assert summary.bigrams.startswith("call me\n")
    assert (summary.bigrams_dropped, summary.trigrams_dropped, summary.lexicon_dropped) == (0, 0, 0)
    assert (summary.words, summary.sentences, summary.growth) == (9, 2, [7])


def adversarial(kind: str) -> str:
    """Return text that gives as much as possible to report."""
    chance = random.Random(kind)
    letters = "abcdefghijklmnopqrstuvwxyz"
    match kind:
        case "distinct words":
            words = [f"{a}{b}{c}" for a in letters for b in letters for c in letters]
        case "distinct accented words":
            words = [f"é{a}{b}ß{c}" for a in letters for b in letters for c in letters]
        case "distinct characters":
            words = [chr(number) for number in range(0x4E00, 0x9FA5)]
        case "letters that grow when lowered":
            words = [f"İ{a}İ{b}Ⱥ{c}" for a in letters for b in letters for c in letters]
        case "long words":
            words = ["".join(chance.choices(letters, k=60_000)) for _ in range(3)]
        case "one letter":
            words = ["a"] * 50_000
        case "pairs in every order":
            words = chance.choices(letters, k=50_000)
        case "speakers":
            words = [f'"X," said Mr. {"".join(chance.choices("ABÉÞ", k=1))}{a}{b}{c}é.'
                     for a in letters for b in letters for c in letters]  # fmt: skip
        case "marks":
            words = ["\n\n", "'", '"', ".", "!", "--", "“"] * 10_000
        case _:
            raise AssertionError(kind)
    return " ".join(words).encode()[:PART_BYTES].decode(errors="ignore")


@pytest.mark.parametrize(
    "kind",
    [
        "distinct words",
        "distinct accented words",
        "distinct characters",
        "letters that grow when lowered",
        "long words",
        "one letter",
        "pairs in every order",
        "speakers",
        "marks",
    ],
)
def test_no_part_of_100_kb_has_a_larger_summary(kind: str) -> None:
    summary = analyse(Part(0, "", adversarial(kind)))
    data = summary.encode()
    assert len(data) <= SUMMARY_BYTES_MAX
    assert Summary.decode(data) == summary
    assert len(summary.lexicon.split()) == len(summary.counts)
    assert summary.growth == sorted(summary.growth)
    assert not summary.growth or summary.growth[-1] == len(summary.counts)


@REPEATABLE
@given(st.text(max_size=30), st.text(alphabet="aé \u4e00\U0001d518.'\n", min_size=1, max_size=30))
def test_text_repeated_to_100_kb_has_no_larger_summary(head: str, cycle: str) -> None:
    """Short of the full 100 KB, for speed; what is added beyond is the same again."""
    text = head + cycle * (10_000 // len(cycle.encode()))
    data = analyse(Part(0, "", text)).encode()
    assert len(data) <= SUMMARY_BYTES_MAX


def test_an_analysis_is_the_same_each_time() -> None:
    part = Part(0, "of the", adversarial("pairs in every order")[:20_000])
    assert analyse(part).encode() == analyse(Part.decode(part.encode())).encode()
