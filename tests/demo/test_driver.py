"""The program on host 1: its failures are a line like any other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from grid.demo.driver import Line, Result, main


def test_books_that_are_not_there_are_the_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    report = tmp_path / "report"
    arguments = ["--corpus", str(tmp_path), "--books", "3", "--report", str(report)]
    assert main(arguments) == 1
    (line,) = capfd.readouterr().out.splitlines()
    result = msgspec.json.decode(line, type=Line)
    assert isinstance(result, Result)
    assert "has 0 .txt files, but 3 books are wanted" in result.failure
    assert not report.exists()
