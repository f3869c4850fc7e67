"""Words, sentences and syllables: the units that everything else in this package counts.

Responsible for: where a word begins and ends, where a sentence ends, how many syllables a word
has. Not responsible for: counting them (`analysis`), or choosing where a book is cut (`parts`).

Theory of operation. A word is a run of letters, accented ones included, with apostrophes inside
(``don't``); it is lowered, and the curly apostrophe becomes the straight one. Hyphens and dashes
separate words, digits are none. A sentence ends at a paragraph break, or at ``. ! ? ...`` plus
closing quotes when white space, a dash or the end follows, unless the next letter is small
(``"Oh!" said he``) or a full stop belongs to an abbreviation or an initial (``Mr. J. Darcy``).
Every rule looks back no further than the sentence's last word and ahead no further than the next
letter, so that a text cut between two words gives the same sentences as the whole: the later piece
needs to know only the words carried over.

Omissions. Decomposed accents (a letter and a combining mark) separate words; novels come composed.
A sentence that begins with a small letter is joined to the one before.
"""

import re
from collections.abc import Iterator, Sequence

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*")

_MARK = re.compile(
    r"""([^\W\d_]+(?:['\u2019][^\W\d_]+)*)
      | ([.!?…]+)[)\]"'”\u2019*_]*
      | (\n[^\S\n]*\n\s*)""",
    re.VERBOSE,
)
_WORD_MARK, _STOP_MARK = 1, 2
# Asked after the match, not in it: a look-ahead that fails would read a long row of dots once per
# dot.
_STOP_FOLLOWERS = re.compile(r"\s|--|—|\Z")
_SPACE = re.compile(r"\s*")
_UNTIL_LETTER = re.compile(r"[\s\-—\"“”'\u2018\u2019(\[*_]*")

_ABBREVIATIONS_TEXT = """
    capt col dr esq etc gen hon lieut lt messrs mlle mme mr mrs ms prof rev sen sergt st jun viz vol
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())

# Closed-class English words, by which phrases of content are told from grammar: "frank churchill"
# from "of the". A list, because a tagger would cost more than all the rest of the analysis
# together.
_FUNCTION_WORDS_TEXT = """
    a about above after again against ah all almost along already also although always am among
    an and another any anything are as at away be because been before being below between both
    but by came can can't cannot come could couldn't d did didn't do does doesn't doing don't
    down during each either else em enough even ever every few first for from further get go
    going gone got had hadn't has hasn't have haven't having he he'd he'll he's her here here's
    hers herself him himself his how however i i'd i'll i'm i've if in indeed into is isn't it
    it's its itself just know last least less let like little ll made make many may me might
    mine more most much must my myself near neither never no nor not nothing now o of off often
    oh on once one only onto or other others ought our ours out over own perhaps quite rather
    round s said same say see seemed shall shan't she she'd she'll she's should shouldn't since
    so some something soon still such t than that that's the thee their them then there there's
    these they they're thing things think this those thou though through thus thy till tis to
    too toward towards two under until up upon us very was wasn't we we'll we're well went were
    weren't what what's when where whether which while who whom whose why will with within
    without won't would wouldn't ye yes yet you you'd you'll you're you've your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_TEXT.split())

_VOWELS = re.compile(r"[aeiouyàáâäæèéêëìíîïòóôöœùúûüý]+")
_SPOKEN_ENDING = re.compile(r"(?:[td]ed|[sxz]es|[cs]hes|[cg]es|[^aeiouy]les?|[aeiouy]e)$")


def sentences(
    text: str, carried: Sequence[str] = (), begin: int = 0, limit: int | None = None
) -> Iterator[tuple[list[str], int]]:
    """Walk over the sentences of a text.

    Args:
        text: the whole text, of which only words that begin in ``begin .. limit`` are read; what
            follows the limit is still looked at to decide whether a sentence ends there.
        carried: the last words of the sentence that is unfinished at ``begin``.
        begin: position of the first character to read.
        limit: position of the first character not to read; None is the end of the text.

    Yields:
        The words of each finished sentence that has any (or that finishes the carried words), and
        the position where the next one begins. The last item, always there, is the unfinished
        sentence, possibly without words, and the limit.
    """
    end = len(text) if limit is None else limit
    words: list[str] = []
    last_word = carried[-1] if carried else ""
    for mark in _MARK.finditer(text, begin):
        if mark.start() >= end:
            break
        kind = mark.lastindex
        if kind == _WORD_MARK:
            last_word = mark[1].lower().replace("\u2019", "'")
            words.append(last_word)
        elif last_word and (kind != _STOP_MARK or _stop_ends_sentence(text, mark, last_word)):
            space = _SPACE.match(text, mark.end())
            yield words, space.end() if space else mark.end()
            words, last_word = [], ""
    yield words, end


def _stop_ends_sentence(text: str, mark: re.Match[str], last_word: str) -> bool:
    """Tell whether these full stops, exclamation or question marks end the sentence."""
    if not _STOP_FOLLOWERS.match(text, mark.end()):
        return False
    if mark[2] == "." and (
        last_word in _ABBREVIATIONS or (len(last_word) == 1 and last_word not in ("i", "a"))
    ):
        return False
    gap = _UNTIL_LETTER.match(text, mark.end())
    following = gap.end() if gap else mark.end()
    return not text[following : following + 1].islower()


def words_of(text: str) -> list[str]:
    """Return the words of a text, without regard to sentences."""
    return [word.lower().replace("\u2019", "'") for word in WORD.findall(text)]


def syllables_of(word: str) -> int:
    """Estimate the syllables of a lower-case word: groups of vowels, less a silent last ``e``.

    Right for about nine English words in ten, which is the usual precision behind Flesch scores.
    """
    count = len(_VOWELS.findall(word))
    if count > 1 and word.endswith(("e", "es", "ed")) and not _SPOKEN_ENDING.search(word):
        count -= 1
    return max(count, 1)
