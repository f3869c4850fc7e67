"""Where the books come from."""

from pathlib import Path

import pytest

from grid.books.corpus import CorpusError, default_cache_folder, generated, gutenberg, load_folder
from grid.errors import GridError

NOVEL = "Chapter one. " * 10_000


def page(text: str = NOVEL) -> bytes:
    """Return a novel as Project Gutenberg sends it."""
    return (
        "\ufeffThe Project Gutenberg eBook\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***"
        f"\r\n\r\n{text}\r\n\r\n*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\r\nlicence\r\n"
    ).encode()


class Internet:
    """Answers every address with the same bytes, or fails after so many."""

    def __init__(self, answer: bytes = page(), answers_max: int = 100) -> None:
        self.addresses: list[str] = []
        self._answer = answer
        self._answers_max = answers_max

    def fetch(self, address: str) -> bytes:
        self.addresses.append(address)
        if len(self.addresses) > self._answers_max:
            raise TimeoutError("timed out")
        return self._answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b-second_book.txt", "a-first.txt", "c.txt", "d.md"):
        (tmp_path / name).write_text(f"Text of {name}: é", encoding="utf-8")
    return tmp_path


def test_a_folder_gives_its_first_files_by_name(folder: Path) -> None:
    corpus = load_folder(folder, 2)
    assert [book.file for book in corpus.books] == ["a-first.txt", "b-second_book.txt"]
    assert [book.title for book in corpus.books] == ["A First", "B Second Book"]
    assert corpus.books[0].text == "Text of a-first.txt: é"
    assert (corpus.name, corpus.generated) == (f"2 novels from {folder}", False)


def test_titles_come_from_the_manifest(folder: Path) -> None:
    (folder / "MANIFEST.json").write_text(
        '[{"file": "c.txt", "title": "See", "author": "Anne", "died": 1849}]', encoding="utf-8"
    )
    books = load_folder(folder, 3).books
    assert (books[2].title, books[2].author) == ("See", "Anne")
    assert books[0].title == "A First"


def test_line_ends_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\r")
    assert load_folder(tmp_path, 1).books[0].text == "one\r\ntwo\r"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"there is no folder .*nowhere"):
        load_folder(tmp_path / "nowhere", 1)


def test_too_few_files_are_counted(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"has 3 \.txt files, but 4 books are wanted"):
        load_folder(folder, 4)


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "a-first.txt").write_bytes(b"abc\xff")
    with pytest.raises(CorpusError, match=r"a-first\.txt is not UTF-8 text, from byte 3 on"):
        load_folder(folder, 1)


def test_a_broken_manifest_is_named(folder: Path) -> None:
    (folder / "MANIFEST.json").write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"MANIFEST\.json cannot be read as a list of books"):
        load_folder(folder, 1)


def test_no_book_is_no_corpus(folder: Path) -> None:
    for source in (lambda: load_folder(folder, 0), lambda: generated(0), lambda: gutenberg(0)):
        with pytest.raises(CorpusError, match="at least 1"):
            source()


def test_a_corpus_error_is_an_error_of_the_grid() -> None:
    assert issubclass(CorpusError, GridError)


def test_a_download_is_stripped_of_header_and_licence(tmp_path: Path) -> None:
    corpus = gutenberg(1, tmp_path, fetch=Internet().fetch)
    assert corpus.books[0].title == "Emma"
    assert corpus.books[0].text == NOVEL.strip() + "\n"
    assert (corpus.name, corpus.generated) == ("1 novel from Project Gutenberg", False)


def test_books_are_downloaded_once(tmp_path: Path) -> None:
    internet = Internet()
    first = gutenberg(3, tmp_path / "cache", fetch=internet.fetch)
    assert gutenberg(3, tmp_path / "cache", fetch=internet.fetch) == first
    assert len(set(internet.addresses)) == len(internet.addresses) == 3


def test_progress_is_told_before_each_book(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    gutenberg(2, tmp_path, lambda *progress: told.append(progress), Internet().fetch)
    assert told == [(0, 2, "Emma"), (1, 2, "Persuasion")]


def test_the_first_failure_decides_and_keeps_what_came(tmp_path: Path) -> None:
    internet = Internet(answers_max=1)
    with pytest.raises(CorpusError, match=r"Persuasion cannot be downloaded .*timed out"):
        gutenberg(20, tmp_path, fetch=internet.fetch)
    assert len(internet.addresses) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["158.txt"]


@pytest.mark.parametrize(
    "answer",
    [b"<html>busy</html>", page("short"), page()[:-200], b"\xff\xfe", b""],
)
def test_a_bad_answer_is_not_cached(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(CorpusError, match="Emma"):
        gutenberg(1, tmp_path, fetch=Internet(answer).fetch)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cache_is_downloaded_again(tmp_path: Path) -> None:
    for damage in (b"\xff", b"half a bo"):
        (tmp_path / "158.txt").write_bytes(damage)
        assert gutenberg(1, tmp_path, fetch=Internet().fetch).books[0].text.startswith("Chapter")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"158\.txt cannot be written"):
        gutenberg(1, tmp_path / "file", fetch=Internet().fetch)


def test_more_books_than_the_list_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="only 25 are on the download list"):
        gutenberg(26, tmp_path, fetch=Internet().fetch)


def test_the_cache_is_where_the_user_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "grid" / "books"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache_folder() == Path.home() / ".cache" / "grid" / "books"


def test_generated_novels_are_repeatable_and_labelled() -> None:
    corpus = generated(2, seed=5)
    assert corpus == generated(2, seed=5)
    assert corpus.generated
    assert corpus.name == "2 generated novels, seed 5"
    assert [book.title for book in corpus.books] == ["Generated novel 1", "Generated novel 2"]
    assert corpus.books[0].text != corpus.books[1].text != generated(2, seed=6).books[0].text
