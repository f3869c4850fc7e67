"""The modules that a call needs, as one bundle."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from grid.client.code.bundle import Bundle, Bundler, Requirement, decode_bundle
from grid.client.code.roots import NO_ROOTS, Roots
from grid.errors import ProtocolError, ValueTooLargeError
from tests.client.programs import on_path, write


def bundle_for(*firm: str, optional: tuple[str, ...] = ()) -> Bundle:
    code = Bundler().code_for(Roots(frozenset(firm), frozenset(optional)))
    assert code is not None
    return decode_bundle(code.bundle)


def names(bundle: Bundle) -> list[str]:
    return [module.name for module in bundle.modules]


def test_imports_are_followed_with_the_packages_around_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "shop_b/__init__.py": "import json\nfrom . import words",
            "shop_b/words.py": "",
            "shop_b/deep/__init__.py": "",
            "shop_b/deep/prices.py": "from ..taxes import RATE\nfrom shop_b.deep import money",
            "shop_b/deep/money.py": "def f():\n    import lazy_b",
            "shop_b/taxes.py": "try:\n    import fast_b\nexcept ImportError:\n    import slow_b",
            "shop_b/unused.py": "",
            "lazy_b.py": "",
            "slow_b.py": "import nowhere_b",
        },
    )
    with on_path(tmp_path):
        bundle = bundle_for("shop_b.deep.prices")
        assert names(bundle) == [
            "lazy_b",
            "shop_b",
            "shop_b.deep",
            "shop_b.deep.money",
            "shop_b.deep.prices",
            "shop_b.taxes",
            "shop_b.words",
            "slow_b",
        ]
        assert not any(name.startswith("shop_b") for name in sys.modules)
    by_name = {module.name: module for module in bundle.modules}
    assert by_name["shop_b.deep"].is_package
    assert by_name["shop_b.words"].filename == str(tmp_path / "shop_b" / "words.py")
    assert bundle.requirements == []


def test_circle_of_imports_comes_to_an_end(tmp_path: Path) -> None:
    write(tmp_path, {"one_b.py": "import two_b", "two_b.py": "import one_b"})
    with on_path(tmp_path):
        assert names(bundle_for("one_b")) == ["one_b", "two_b"]


def test_folder_without_init_is_a_namespace(tmp_path: Path) -> None:
    write(tmp_path, {"space_b/inner/stock.py": "", "space_b/other.py": ""})
    with on_path(tmp_path):
        bundle = bundle_for("space_b.inner.stock")
    assert names(bundle) == ["space_b", "space_b.inner", "space_b.inner.stock"]
    assert [module.source for module in bundle.modules] == [None, None, ""]


def installed(folder: Path) -> Path:
    return write(
        folder / "site-packages",
        {
            "colours_b/__init__.py": "import dyes_b",
            "colours_b-1.2.dist-info/METADATA": "Name: colours_b\nVersion: 1.2\n",
            "brushes_b.py": "",
        },
    )


def test_what_is_installed_is_required_and_not_sent(tmp_path: Path) -> None:
    source = "from colours_b.red import x\ntry:\n    import brushes_b\nexcept ImportError: ..."
    write(tmp_path, {"painting_b.py": source})
    with on_path(tmp_path, installed(tmp_path)):
        bundle = bundle_for("painting_b", "colours_b.blue")
        assert bundle.requirements == [Requirement("colours_b", "colours_b", "1.2", "")]
        bundle = bundle_for("painting_b")
    assert names(bundle) == ["painting_b"]
    assert bundle.requirements == [Requirement("colours_b", "colours_b", "1.2", "painting_b")]


def test_what_may_not_be_needed_is_sent_and_requires_nothing(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"painting_b.py": "if x:\n    import tools_b", "tools_b.py": "import brushes_b"},
    )
    with on_path(tmp_path, installed(tmp_path)):
        for bundle in (bundle_for("painting_b"), bundle_for(optional=("tools_b", "brushes_b"))):
            assert "tools_b" in names(bundle)
            assert bundle.requirements == []
        assert [r.name for r in bundle_for("tools_b", optional=("painting_b",)).requirements] == [
            "brushes_b"
        ]


def test_extension_module_of_the_program_is_required_as_its_own(tmp_path: Path) -> None:
    native = f"shop_b/native{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    write(tmp_path, {"shop_b/__init__.py": "from . import native", native: ""})
    with on_path(tmp_path):
        bundle = bundle_for("shop_b")
    assert bundle.requirements == [Requirement("shop_b.native", "", "", "shop_b", is_own=True)]


def test_nothing_is_made_of_what_every_node_has() -> None:
    assert Bundler().code_for(NO_ROOTS) is None
    assert Bundler().code_for(Roots(frozenset({"json", "nowhere_b"}), frozenset())) is None


def test_bundle_is_made_once_until_a_module_is_loaded_anew(tmp_path: Path) -> None:
    write(tmp_path, {"shop_b.py": "import prices_b", "prices_b.py": "RATE = 1"})
    roots, bundler = Roots(frozenset({"shop_b"}), frozenset()), Bundler()
    with on_path(tmp_path):
        importlib.import_module("shop_b")
        first = bundler.code_for(roots)
        assert bundler.code_for(roots) is first
        (tmp_path / "prices_b.py").write_text("RATE = 22")
        assert bundler.code_for(roots) is first
        importlib.reload(sys.modules["prices_b"])
        second = bundler.code_for(roots)
    assert first is not None
    assert second is not None
    assert first.digest != second.digest
    assert decode_bundle(second.bundle).modules[0].source == "RATE = 22"


def test_equal_modules_make_equal_bundles_in_every_program(tmp_path: Path) -> None:
    write(tmp_path, {f"shop{n}_b.py": f"import shop{n + 1}_b" for n in range(9)})
    with on_path(tmp_path):
        roots = Roots(frozenset({"shop4_b", "shop0_b"}), frozenset({"shop7_b"}))
        assert Bundler().code_for(roots) == Bundler().code_for(roots)


def test_too_much_is_refused_and_the_largest_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.code.bundle.BUNDLE_BYTES_MAX", 1000)
    write(tmp_path, {"small_b.py": "import large_b", "large_b.py": f"DATA = '{'x' * 2000}'"})
    told = r"the largest are large_b \(2,009\), small_b"
    with on_path(tmp_path), pytest.raises(ValueTooLargeError, match=told):
        bundle_for("small_b")


def test_what_is_no_bundle_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not a bundle"):
        decode_bundle(b"no bundle")
