"""What a piece of code imports, read from it and not executed.

An import is *firm* if the code cannot do without it: not below an `if`, not where ImportError is
caught, not in a function that may never be called.

Not here: where the modules are (``modules.py``). What is imported by a name that is computed
(`importlib.import_module`) is not seen.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType
from typing import NamedTuple

_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)


class Import(NamedTuple):
    """A name that may be a module: of ``from a import b``, both a and a.b are."""

    name: str
    is_firm: bool


def imports_of_source(source: str, package: str) -> list[Import]:
    """Return what a module imports that belongs to `package`; nothing if it cannot be parsed."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return []  # Whoever imports it is told.
    found: list[Import] = []
    for statement, is_firm in _import_statements(body, is_firm=True):
        if isinstance(statement, ast.Import):
            found += [Import(alias.name, is_firm) for alias in statement.names]
        else:
            names = [alias.name for alias in statement.names]
            found += _from(statement.module or "", names, statement.level, package, is_firm)
    return found


def imports_of_function(function: FunctionType, *, is_called: bool) -> list[Import]:
    """Return what a function and those within it import.

    `is_called`: it will be called for sure, so what it imports before it decides anything is firm.
    """
    package = function.__globals__.get("__package__") or ""
    return list(_in_code(function.__code__, package, is_firm=is_called))


def _in_code(code: CodeType, package: str, *, is_firm: bool) -> Iterator[Import]:
    bytecode = dis.Bytecode(code)
    guarded = [(entry.start, entry.end) for entry in bytecode.exception_entries]  # type: ignore[attr-defined]  # since 3.11
    before: list[object] = [None, None]
    for instruction in bytecode:
        if instruction.opcode in _JUMPS:
            is_firm = False
        elif instruction.opname == "IMPORT_NAME":
            level, names = before[-2:]  # The compiler loads them for it.
            is_sure = is_firm and not any(
                start <= instruction.offset < end for start, end in guarded
            )
            attributes = [str(name) for name in names] if isinstance(names, tuple) else []
            depth = level if isinstance(level, int) else 0
            yield from _from(instruction.argval, attributes, depth, package, is_sure)
        if instruction.opname != "EXTENDED_ARG":
            before.append(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _in_code(constant, package, is_firm=False)


def _from(
    module: str, names: Sequence[str], level: int, package: str, is_firm: bool
) -> list[Import]:
    if level:
        parts = package.split(".") if package else []
        if level > len(parts):
            return []  # Beyond the top: whoever executes it is told.
        module = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
    return [
        Import(module, is_firm),
        *(Import(f"{module}.{name}", is_firm) for name in names if name != "*"),
    ]


def _import_statements(
    body: Sequence[ast.stmt], *, is_firm: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for statement in body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                yield statement, is_firm
            case ast.If(test=test, body=then, orelse=otherwise):
                is_dead = isinstance(test, ast.Name | ast.Attribute) and _is_for_types(test)
                if not is_dead:
                    yield from _import_statements(then, is_firm=False)
                yield from _import_statements(otherwise, is_firm=is_firm and is_dead)
            case ast.Try() | ast.TryStar():
                is_caught = any(_catches_import_errors(handler) for handler in statement.handlers)
                yield from _import_statements(statement.body, is_firm=is_firm and not is_caught)
                for handler in statement.handlers:
                    yield from _import_statements(handler.body, is_firm=False)
                yield from _import_statements(statement.orelse, is_firm=is_firm and not is_caught)
                yield from _import_statements(statement.finalbody, is_firm=is_firm)
            case ast.With(items=items, body=inner):
                is_caught = any("suppress" in _names(item.context_expr) for item in items)
                yield from _import_statements(inner, is_firm=is_firm and not is_caught)
            case ast.ClassDef(body=inner):
                yield from _import_statements(inner, is_firm=is_firm)
            case ast.FunctionDef(body=inner) | ast.AsyncFunctionDef(body=inner):
                yield from _import_statements(inner, is_firm=False)
            case ast.For() | ast.While() | ast.AsyncFor() | ast.AsyncWith() | ast.Match():
                inner = [node for node in ast.walk(statement) if isinstance(node, _IMPORTS)]
                yield from _import_statements(inner, is_firm=False)


_IMPORTS = (ast.Import, ast.ImportFrom)


def _names(expression: ast.expr) -> set[str]:
    """Return the names that occur in an expression, after a dot or not."""
    nodes = list(ast.walk(expression))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _is_for_types(test: ast.Name | ast.Attribute) -> bool:
    return (test.id if isinstance(test, ast.Name) else test.attr) == "TYPE_CHECKING"


def _catches_import_errors(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or not _CAUGHT.isdisjoint(_names(handler.type))
