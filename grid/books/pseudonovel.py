"""Generated novels, for machines that have no books and no internet.

Responsible for: text that is made of words, phrases, names, dialogue, sentences and paragraphs in
about the proportions of an English novel, always the same for the same seed.
Not responsible for: sense. Nothing it yields says anything about literature, and it is labelled so.

Theory of operation. Words follow Zipf's law (rank to the power of -1) over a vocabulary in which
the first ranks are English function words and the others are built from syllables. Names and a few
set phrases return often, so that an analysis has collocations to find.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

BOOK_CHARACTERS = 500_000

_FREQUENT_WORDS = (
    "the of and to a in that was he it his had with as for not at but be on her you is him by she "
    "this which have all from were so they said my one when who there or an would no could been "
    "what their we if more into your them some very out then up do now upon time any only its than "
    "will over must such"
)
_ONSETS_TEXT = "b br c ch d dr f fl g gr h j l m n p pl qu r s sh st t th tr v w"
_VOWELS_TEXT = "a e i o u ea ee ou ai"
_CODAS_TEXT = "d l ll m n nd ng r rd rn s st t th ck sh"
_ONSETS, _VOWELS, _CODAS = (
    tuple(text.split()) for text in (_ONSETS_TEXT, _VOWELS_TEXT, _CODAS_TEXT)
)
_TITLES = ("Mr.", "Mrs.", "Miss", "Sir", "Lady")
_SPEECH_VERBS = ("said", "cried", "replied", "asked", "whispered")

_VOCABULARY_WORDS = 12_000
_NAME_COUNT = 12
_PHRASE_COUNT = 20
_PARAGRAPHS_A_CHAPTER = 40


def write(seed: int) -> str:
    """Return a generated novel of about 500 KB; the same for the same seed."""
    author = _Author(Random(seed))
    paragraphs: list[str] = []
    character_count = chapter = 0
    while character_count < BOOK_CHARACTERS:
        if len(paragraphs) % _PARAGRAPHS_A_CHAPTER == 0:
            chapter += 1
            paragraphs.append(f"CHAPTER {chapter}.")
        paragraph = author.paragraph()
        paragraphs.append(paragraph)
        character_count += len(paragraph) + 2
    return "\n\n".join(paragraphs) + "\n"


class _Author:
    """One vocabulary, one cast of names, and the chance that strings them together."""

    def __init__(self, random: Random) -> None:
        self._random = random
        rare = sorted({self._invent() for _ in range(_VOCABULARY_WORDS)})
        random.shuffle(rare)
        self._vocabulary = [*_FREQUENT_WORDS.split(), *rare]
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self._vocabulary) + 1)))
        self._names = [
            f"{random.choice(_TITLES)} {self._invent().capitalize()}" for _ in range(_NAME_COUNT)
        ]
        self._phrases = [" ".join(random.sample(rare, 2)) for _ in range(_PHRASE_COUNT)]

    def paragraph(self) -> str:
        """Return some sentences of narration, or of dialogue."""
        if self._random.random() < 0.4:
            speaker = self._random.choice(self._names)
            verb = self._random.choice(_SPEECH_VERBS)
            return f'"{self._sentence()}" {verb} {speaker}. "{self._sentence()}"'
        return " ".join(self._sentence() for _ in range(self._random.randint(2, 9)))

    def _sentence(self) -> str:
        words = list(self._pieces(max(3, round(self._random.lognormvariate(2.6, 0.5)))))
        if len(words) > 12:
            words[len(words) // 2] += ","
        text = " ".join(words)
        return text[0].upper() + text[1:] + self._random.choice("......?!")

    def _pieces(self, count: int) -> Iterator[str]:
        for word in self._random.choices(self._vocabulary, cum_weights=self._weights, k=count):
            chance = self._random.random()
            if chance < 0.02:
                yield self._random.choice(self._names)
            elif chance < 0.03:
                yield self._random.choice(self._phrases)
            else:
                yield word

    def _invent(self) -> str:
        choose = self._random.choice
        return "".join(
            choose(_ONSETS) + choose(_VOWELS) + choose(_CODAS) for _ in range(choose((1, 2, 2, 3)))
        )
