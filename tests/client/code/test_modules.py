"""What a module is, found out without executing any."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from grid.client.code.modules import Kind, are_unchanged, find, find_spec
from tests.client.programs import on_path, write


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    write(
        tmp_path,
        {
            "shop_m/__init__.py": "raise RuntimeError('executed')",
            "shop_m/prices.py": "PRICE = 1  # é",
            "space_m/inner/stock.py": "",
            "plain_m.py": "VALUE = 1",
            "site-packages/bought_m/__init__.py": "",
            f"native_m{importlib.machinery.EXTENSION_SUFFIXES[0]}": "",
        },
    )
    with on_path(tmp_path, tmp_path / "site-packages"):
        yield tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("shop_m", Kind.OWN),
        ("shop_m.prices", Kind.OWN),
        ("space_m", Kind.NAMESPACE),
        ("space_m.inner.stock", Kind.OWN),
        ("bought_m", Kind.INSTALLED),
        ("numpy", Kind.INSTALLED),
        ("native_m", Kind.WITHOUT_SOURCE),
        ("json", Kind.NOTHING),
        ("sys", Kind.NOTHING),
        ("test.support", Kind.NOTHING),
        ("grid.client", Kind.NOTHING),
        ("__main__", Kind.NOTHING),
        ("nowhere_m", Kind.NOTHING),
        ("shop_m.nowhere", Kind.NOTHING),
        ("plain_m.nowhere", Kind.NOTHING),
    ],
)
def test_modules_are_told_apart_by_where_they_are(folder: Path, name: str, kind: Kind) -> None:
    assert find(name).kind is kind
    assert "shop_m" not in sys.modules


def test_own_module_is_found_with_its_source(folder: Path) -> None:
    found = find("shop_m.prices")
    assert found.source == "PRICE = 1  # é"
    assert found.filename == str(folder / "shop_m" / "prices.py")
    assert not found.is_package
    assert find("shop_m").is_package


def test_module_made_by_hand_is_none_and_such_a_package_a_namespace(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, package = ModuleType("made_m"), ModuleType("made_package_m")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "made_m", made)
    monkeypatch.setitem(sys.modules, "made_package_m", package)
    assert find("made_m").kind is Kind.NOTHING
    assert find("made_package_m").kind is Kind.NAMESPACE
    assert find("made_package_m.plain_m").kind is Kind.OWN


def test_alias_of_a_module_is_not_that_module(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alias_m", importlib.import_module("plain_m"))
    assert find_spec("alias_m") is None


def test_loaded_module_changes_when_it_is_loaded_anew_and_not_with_its_file(folder: Path) -> None:
    module = importlib.import_module("plain_m")
    found = find("plain_m")
    stamps = [("plain_m", found.filename, found.stamp)]
    (folder / "plain_m.py").write_text("VALUE = 22")
    assert are_unchanged(stamps)
    importlib.reload(module)
    assert not are_unchanged(stamps)


def test_module_that_is_not_loaded_changes_with_its_file(folder: Path) -> None:
    found = find("plain_m")
    stamps = [("plain_m", found.filename, found.stamp)]
    assert are_unchanged(stamps)
    os.utime(folder / "plain_m.py", ns=(1, 1))
    assert not are_unchanged(stamps)
    importlib.import_module("plain_m")
    assert not are_unchanged(stamps)
