"""Cutting a book into parts that are analysed apart.

Responsible for: parts of bounded size that join to exactly the same text, and what a part must
know of the text before it. Not responsible for: reading books (`corpus`), or analysing them
(`analysis`).

Theory of operation. A part is as long as it may be and is cut, in its second half, after the last
paragraph break; else after the last sentence; else after the last white space; else between two
words; else anywhere between two characters. The last three cut a sentence. The part after such a
cut carries the last two words of the unfinished sentence as its context, so that every 2-gram and
3-gram across the seam is counted once, by the later part. N-grams never cross a sentence end, so
after the better cuts the context is empty.

Omissions. A word longer than half a part may be cut in two, and then counts as two words.
"""

import re
from dataclasses import dataclass

import msgspec

from grid.books.words import PARAGRAPH_BREAK, sentences, words_of

PART_BYTES = 100_000
CONTEXT_WORDS = 2

# The longest UTF-8 character; a smaller part could not hold one and splitting would never end.
_PART_BYTES_MIN = 4

# Where a sentence may be cut, best first: at white space, else at a dash or any other mark.
_GAPS = (re.compile(r"\s+"), re.compile(r"[^\w'\u2019]+"))


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a book.

    Attributes:
        index: its position in the book, from 0.
        context: up to two words of the sentence that is unfinished where the part begins, as
            `words` defines them, separated by a blank; empty if a sentence begins with the part.
        text: the piece itself.
    """

    index: int
    context: str
    text: str

    def encode(self) -> bytes:
        """Return the part as MessagePack, a few bytes longer than its UTF-8 text."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Part":
        """Return the part that `encode` wrote.

        Raises:
            msgspec.DecodeError: if these are not the bytes of a part.
        """
        return msgspec.msgpack.decode(data, type=cls)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a part ends, and the words that the next one carries."""

    position: int
    carried: list[str]


def split(text: str, part_bytes: int = PART_BYTES) -> list[Part]:
    """Cut a text into parts of at most ``part_bytes`` bytes of UTF-8.

    Returns:
        The parts in order; their texts joined are the text. An empty text has no parts.

    Raises:
        ValueError: if ``part_bytes`` is less than 4.
    """
    if part_bytes < _PART_BYTES_MIN:
        raise ValueError(f"part_bytes is {part_bytes}, but must be at least {_PART_BYTES_MIN}")
    parts: list[Part] = []
    begin = 0
    carried: list[str] = []
    while begin < len(text):
        limit = begin + _characters_within(text[begin : begin + part_bytes], part_bytes)
        cut = _Cut(limit, []) if limit == len(text) else _cut(text, begin, limit, carried)
        parts.append(Part(len(parts), " ".join(carried), text[begin : cut.position]))
        begin, carried = cut.position, cut.carried
    return parts


def _characters_within(piece: str, size_bytes: int) -> int:
    """Return how many leading characters fit into so many bytes of UTF-8."""
    if piece.isascii():
        return len(piece)
    # A character that the limit cuts in two is dropped whole by errors="ignore".
    return len(piece.encode()[:size_bytes].decode(errors="ignore"))


def _cut(text: str, begin: int, limit: int, carried: list[str]) -> _Cut:
    """Choose the best place, up to ``limit``, to end the part that begins at ``begin``."""
    middle = begin + (limit - begin) // 2
    paragraph_end = 0
    for gap in PARAGRAPH_BREAK.finditer(text, middle, limit):
        paragraph_end = gap.end()
    if paragraph_end:
        return _Cut(paragraph_end, [])
    # The sentences of a part without paragraphs are looked for only here; such parts are rare.
    last_begin = sentence_begin = begin
    for _, sentence_end in sentences(text, carried, begin, limit):
        last_begin, sentence_begin = sentence_begin, sentence_end
    # The last item was the unfinished sentence; the white space before it may reach past the
    # limit.
    sentence_begin = min(last_begin, limit)
    if sentence_begin > middle:
        return _Cut(sentence_begin, [])
    position = _gap_end(text, middle, limit)
    words = words_of(text[sentence_begin:position])[-CONTEXT_WORDS:]
    if sentence_begin == begin:
        words = [*carried, *words][-CONTEXT_WORDS:]
    return _Cut(position, words)


def _gap_end(text: str, middle: int, limit: int) -> int:
    """Return the last place between two words, or the limit if there is only one long word."""
    for gap in _GAPS:
        ends = [found.end() for found in gap.finditer(text, middle, limit)]
        if ends:
            return ends[-1]
    return limit
