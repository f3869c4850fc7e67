"""Where the books come from: a folder, Project Gutenberg, or a generator.

Responsible for: texts with titles, and one clear sentence if they cannot be had.
Not responsible for: cutting or analysing them (`parts`, `analysis`), or inventing text
(`pseudonovel`).

Theory of operation. A folder gives its first ``*.txt`` files by name. Project Gutenberg is asked
for each book once; what came is kept, without header and licence, in the user's cache. The first
download that fails ends the attempt, so that a machine without internet learns so in seconds, not
once per book. Files are written beside their place and renamed, so a broken download or a full
disk never leaves half a book behind.
"""

import os
import re
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from grid.books import pseudonovel
from grid.errors import GridError
from grid.types import counted

# One attempt of connecting, and any silence afterwards.
DOWNLOAD_TIMEOUT_S = 5.0

# Much longer than any novel; an endless answer must not fill the memory.
_DOWNLOAD_BYTES_MAX = 16_000_000

# Shorter than any novel of the list; an error page with markers would be cached otherwise.
_NOVEL_CHARACTERS_MIN = 100_000

_MANIFEST = "MANIFEST.json"
_MARKER_START = re.compile(r"^\*\*\* ?START OF TH[^\n]*\*\*\*[^\n]*\n", re.MULTILINE)
_MARKER_END = re.compile(r"^\*\*\* ?END OF TH", re.MULTILINE)

Fetch = Callable[[str], bytes]
OnProgress = Callable[[int, int, str], None]


class CorpusError(GridError):
    """The books cannot be had, for the reason the sentence says; nothing was started."""


@dataclass(frozen=True, slots=True)
class Book:
    """A book. The author may be empty; the file is a name, not a path."""

    title: str
    author: str
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Books to analyse.

    Attributes:
        name: what they are, for people, such as ``20 novels from ../shared/books``.
        books: the books, in a fixed order.
        generated: whether they are made up.
    """

    name: str
    books: tuple[Book, ...]
    generated: bool


class _ManifestEntry(msgspec.Struct):
    """One book in MANIFEST.json; other fields are ignored."""

    file: str
    title: str = ""
    author: str = ""


class _Novel(NamedTuple):
    """A novel of Project Gutenberg, by its number there."""

    number: int
    title: str
    author: str


_NOVELS = (
    _Novel(158, "Emma", "Jane Austen"),
    _Novel(105, "Persuasion", "Jane Austen"),
    _Novel(1342, "Pride and Prejudice", "Jane Austen"),
    _Novel(161, "Sense and Sensibility", "Jane Austen"),
    _Novel(767, "Agnes Grey", "Anne Brontë"),
    _Novel(1260, "Jane Eyre", "Charlotte Brontë"),
    _Novel(768, "Wuthering Heights", "Emily Brontë"),
    _Novel(113, "The Secret Garden", "Frances Hodgson Burnett"),
    _Novel(155, "The Moonstone", "Wilkie Collins"),
    _Novel(583, "The Woman in White", "Wilkie Collins"),
    _Novel(219, "Heart of Darkness", "Joseph Conrad"),
    _Novel(98, "A Tale of Two Cities", "Charles Dickens"),
    _Novel(1400, "Great Expectations", "Charles Dickens"),
    _Novel(786, "Hard Times", "Charles Dickens"),
    _Novel(145, "Middlemarch", "George Eliot"),
    _Novel(550, "Silas Marner", "George Eliot"),
    _Novel(394, "Cranford", "Elizabeth Gaskell"),
    _Novel(2166, "King Solomon's Mines", "H. Rider Haggard"),
    _Novel(110, "Tess of the d'Urbervilles", "Thomas Hardy"),
    _Novel(2701, "Moby-Dick", "Herman Melville"),
    _Novel(84, "Frankenstein", "Mary Shelley"),
    _Novel(120, "Treasure Island", "Robert Louis Stevenson"),
    _Novel(345, "Dracula", "Bram Stoker"),
    _Novel(76, "Adventures of Huckleberry Finn", "Mark Twain"),
    _Novel(174, "The Picture of Dorian Gray", "Oscar Wilde"),
)


def load_folder(folder: Path, count: int) -> Corpus:
    """Return the first ``count`` text files of a folder, by name.

    Titles and authors come from the folder's MANIFEST.json, if it has one, else from the file
    names.

    Raises:
        CorpusError: if the folder or enough text files are missing, or a file cannot be read as
        UTF-8.
    """
    _check_count(count)
    if not folder.is_dir():
        raise CorpusError(f"there is no folder {folder} to take books from")
    files = sorted(folder.glob("*.txt"))
    if len(files) < count:
        raise CorpusError(f"{folder} has {len(files)} .txt files, but {count} books are wanted")
    manifest = _manifest(folder)
    books = []
    for file in files[:count]:
        entry = manifest.get(file.name, _ManifestEntry(file.name))
        title = entry.title or file.stem.replace("-", " ").replace("_", " ").title()
        books.append(Book(title, entry.author, file.name, _read(file)))
    return Corpus(f"{counted(count, 'novel')} from {folder}", tuple(books), generated=False)


def store_folder(corpus: Corpus, folder: Path) -> None:
    """Write the texts of a corpus into a folder, for `load_folder` to read in the same order."""
    for index, book in enumerate(corpus.books):
        (folder / f"{index:04d}.txt").write_bytes(book.text.encode())


def gutenberg(
    count: int,
    cache_folder: Path | None = None,
    on_progress: OnProgress | None = None,
    fetch: Fetch | None = None,
) -> Corpus:
    """Return novels of Project Gutenberg, downloading those that the cache does not have.

    Args:
        count: how many novels, 25 at most.
        cache_folder: where downloads are kept; None is ``default_cache_folder()``.
        on_progress: told before each book: how many are there, how many are wanted, the next
            title.
        fetch: returns the bytes at an address, or raises OSError; None asks the internet.

    Raises:
        CorpusError: if a book cannot be downloaded; the first failure decides.
    """
    _check_count(count)
    if count > len(_NOVELS):
        raise CorpusError(
            f"{count} books are wanted, but only {len(_NOVELS)} are on the download list"
        )
    folder = default_cache_folder() if cache_folder is None else cache_folder
    books = []
    for done, novel in enumerate(_NOVELS[:count]):
        if on_progress is not None:
            on_progress(done, count, novel.title)
        file = folder / f"{novel.number}.txt"
        text = _cached(file)
        if text is None:
            text = _download(novel, fetch or _fetch)
            _write(file, text)
        books.append(Book(novel.title, novel.author, file.name, text))
    return Corpus(
        f"{counted(count, 'novel')} from Project Gutenberg", tuple(books), generated=False
    )


def generated(count: int, seed: int = 1) -> Corpus:
    """Return made-up novels of about 500 KB, always the same for the same seed."""
    _check_count(count)
    books = tuple(
        Book(
            title=f"Generated novel {number}",
            author="generated text",
            file=f"generated-{seed}-{number}.txt",
            # Far apart, so that two corpora of near-by seeds share no book.
            text=pseudonovel.write(seed * 1_000_003 + number),
        )
        for number in range(1, count + 1)
    )
    return Corpus(f"{counted(count, 'generated novel')}, seed {seed}", books, generated=True)


def default_cache_folder() -> Path:
    """Return ``grid/books`` in the user's cache (XDG base directory specification)."""
    # The specification says that a relative path is invalid and to be ignored.
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = configured if configured.is_absolute() else Path.home() / ".cache"
    return cache / "grid" / "books"


def _check_count(count: int) -> None:
    """Refuse a corpus without books."""
    if count < 1:
        raise CorpusError(f"{count} books are wanted, but it takes at least 1")


def _manifest(folder: Path) -> dict[str, _ManifestEntry]:
    """Return the entries of MANIFEST.json by file name; nothing if there is no such file."""
    file = folder / _MANIFEST
    if not file.is_file():
        return {}
    try:
        entries = msgspec.json.decode(file.read_bytes(), type=list[_ManifestEntry])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} cannot be read as a list of books: {error}") from error
    return {entry.file: entry for entry in entries}


def _read(file: Path) -> str:
    """Return the text of a file."""
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is not UTF-8 text, from byte {error.start} on") from error
    except OSError as error:
        raise CorpusError(f"{file} cannot be read: {error.strerror}") from error


def _cached(file: Path) -> str | None:
    """Return a book from the cache, or None if it is not there or damaged."""
    try:
        text = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) >= _NOVEL_CHARACTERS_MIN else None


def _download(novel: _Novel, fetch: Fetch) -> str:
    """Return the text of a novel, without what Project Gutenberg puts around it."""
    address = f"https://www.gutenberg.org/cache/epub/{novel.number}/pg{novel.number}.txt"
    try:
        text = fetch(address).decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        reason = getattr(error, "reason", error)  # What urllib has wrapped.
        raise CorpusError(f"{novel.title} cannot be downloaded from {address}: {reason}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{novel.title} from {address} is not UTF-8 text") from error
    start = _MARKER_START.search(text)
    end = _MARKER_END.search(text, start.end()) if start else None
    if start is None or end is None or end.start() - start.end() < _NOVEL_CHARACTERS_MIN:
        raise CorpusError(f"{address} answered something else than {novel.title}")
    return text[start.end() : end.start()].strip() + "\n"


def _fetch(address: str) -> bytes:
    """Return what the internet has at an address."""
    with urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT_S) as answer:
        data: bytes = answer.read(_DOWNLOAD_BYTES_MAX)
    return data


def _write(file: Path, text: str) -> None:
    """Write a book into the cache, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".tmp", delete=False) as part:
            try:
                part.write(text.encode())
                part.close()
                Path(part.name).replace(file)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CorpusError(f"{file} cannot be written: {error.strerror}") from error
