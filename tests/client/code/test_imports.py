"""What code imports, and whether it can do without."""

from __future__ import annotations

from types import FunctionType

import pytest

from grid.client.code.imports import Import, imports_of_function, imports_of_source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a", {"a": True}),
        ("import a.b as c, d", {"a.b": True, "d": True}),
        ("from a import b", {"a": True, "a.b": True}),
        ("from a import *", {"a": True}),
        ("from . import b", {"pkg": True, "pkg.b": True}),
        ("from .b import c", {"pkg.b": True, "pkg.b.c": True}),
        ("from ..b import c", {}),
        ("class A:\n import a", {"a": True}),
        ("with open('x'):\n import a", {"a": True}),
        ("try:\n import a\nfinally:\n import b", {"a": True, "b": True}),
        ("try:\n import a\nexcept KeyError:\n import b", {"a": True, "b": False}),
        ("try:\n import a\nexcept ImportError:\n import b", {"a": False, "b": False}),
        ("try:\n import a\nexcept (OSError, ModuleNotFoundError):\n pass", {"a": False}),
        ("try:\n import a\nexcept:\n pass", {"a": False}),
        ("with contextlib.suppress(ImportError):\n import a", {"a": False}),
        ("if x:\n import a\nelse:\n import b", {"a": False, "b": False}),
        ("for x in y:\n if x:\n  import a", {"a": False}),
        ("def f():\n import a", {"a": False}),
        ("async def f():\n import a", {"a": False}),
        ("if TYPE_CHECKING:\n import a", {}),
        ("if typing.TYPE_CHECKING:\n import a\nelse:\n import b", {"b": True}),
        ("if not TYPE_CHECKING:\n import a", {"a": False}),
        ("this is no Python", {}),
    ],
)
def test_statements_of_a_module(source: str, expected: dict[str, bool]) -> None:
    assert dict(imports_of_source(source, "pkg")) == expected


def function(body: str, package: str = "pkg") -> FunctionType:
    scope: dict[str, object] = {"__package__": package}
    exec("def f(x):\n" + "".join(f"    {line}\n" for line in body.splitlines()), scope)
    made = scope["f"]
    assert isinstance(made, FunctionType)
    return made


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("import a.b", {"a.b": True}),
        ("from a import b, c", {"a": True, "a.b": True, "a.c": True}),
        ("from .a import b", {"pkg.a": True, "pkg.a.b": True}),
        ("from . import a", {"pkg": True, "pkg.a": True}),
        ("if x:\n    import a\nreturn x", {"a": False}),
        ("try:\n    import a\nexcept ImportError:\n    a = None\nreturn a", {"a": False}),
        ("import a\nif x:\n    import b", {"a": True, "b": False}),
        ("def g():\n    import a\nreturn g", {"a": False}),
        ("return lambda: __import__('a')", {}),
    ],
)
def test_functions_by_their_bytecode(body: str, expected: dict[str, bool]) -> None:
    assert dict(imports_of_function(function(body), is_called=True)) == expected


def test_function_that_may_not_be_called_needs_nothing_for_sure() -> None:
    assert imports_of_function(function("import a"), is_called=False) == [Import("a", False)]


def test_relative_import_without_a_package_leads_nowhere() -> None:
    assert imports_of_function(function("from . import a", ""), is_called=True) == []
