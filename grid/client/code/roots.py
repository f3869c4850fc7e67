"""Pickles of calls, and the modules that they name: where the search for what they need begins.

The module of whatever goes by its name is noted down. Of functions that go by value, and of the
one that is called, the imports are noted as well.

Not here: what goes by value (``wire/pickling.py``), what becomes of the modules (``bundle.py``).
"""

from __future__ import annotations

import io
import weakref
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from grid.client.code.imports import Import, imports_of_function
from grid.client.code.modules import EVERYWHERE
from grid.wire.pickling import Pickler, dump_with, load


class Roots(NamedTuple):
    """Modules that something needs, and those that it may need."""

    firm: frozenset[str]
    optional: frozenset[str]

    def __or__(self, other: Roots) -> Roots:
        """Return what both need."""
        return Roots(self.firm | other.firm, self.optional | other.optional)


NO_ROOTS = Roots(frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Pickled:
    """What many calls have in common, a function usually; each brings the modules for it."""

    data: bytes
    roots: Roots = NO_ROOTS
    name: str = ""
    """What people see the function called."""

    def load(self) -> Any:
        """Return a new copy of it. Raises: whatever the classes in it raise."""
        return load(self.data)

    def __reduce__(self) -> tuple[type[Pickled], tuple[bytes]]:
        """Travel alone: the modules are sent by then, and the name is."""
        return Pickled, (self.data,)


def pickle_once(value: object, name: str = "") -> Pickled:
    """Pickle what many calls have in common; `name` is of the function in it.

    Raises: SerializationError.
    """
    return Pickled(*pickle_with_roots(value), name)


def pickle_with_roots(value: object, start: bytes = b"") -> tuple[bytes, Roots]:
    """Return `start` and the pickle of a value, and the modules that are needed to load it.

    Raises: SerializationError.
    """
    file = io.BytesIO()
    file.write(start)
    pickler = _NotingPickler(file)
    dump_with(pickler, value)
    return file.getvalue(), pickler.roots()


class _NotingPickler(Pickler):
    """Notes what it comes across."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self._modules: set[object] = set()
        self._functions: list[FunctionType] = []
        self._shared: list[Roots] = []
        self._plain_kinds: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        """Say how an object is pickled that pickle does not know by heart."""
        kind = type(obj)
        if kind in self._plain_kinds:
            return NotImplemented  # One more instance of a class: there is nothing new in it.
        reduced = super().reducer_override(obj)
        if isinstance(obj, type):
            if reduced is NotImplemented:
                self._modules.add(obj.__module__)
        elif kind is FunctionType:
            if reduced is NotImplemented:
                self._modules.add(obj.__module__)
            if reduced is not NotImplemented or not self._functions:
                self._functions.append(obj)
        elif kind is ModuleType:
            self._modules.add(obj.__name__)
        elif kind is BuiltinFunctionType:
            self._modules.add(obj.__module__)
        elif kind is Pickled:
            self._shared.append(obj.roots)
        elif reduced is NotImplemented:
            self._modules.add(kind.__module__)
            self._plain_kinds.add(kind)
        return reduced

    def roots(self) -> Roots:
        """Return the modules that were found, without those that every node has."""
        if not self._functions and not self._shared and self._modules <= EVERYWHERE:
            return NO_ROOTS
        firm: set[str] = set()
        optional: set[str] = set()
        for module in self._modules:
            if isinstance(module, str) and module.partition(".")[0] not in EVERYWHERE:
                firm.add(module)
        for index, function in enumerate(self._functions):
            for name, is_firm in _imports(function, is_called=index == 0):
                if name.partition(".")[0] not in EVERYWHERE:
                    (firm if is_firm else optional).add(name)
        found = NO_ROOTS
        if firm or optional:
            found = Roots(frozenset(firm), frozenset(optional - firm))
        for roots in self._shared:
            found |= roots
        return found


_WITHOUT_PROGRAM = EVERYWHERE - {"__main__", "__mp_main__"}

_known_imports: weakref.WeakKeyDictionary[CodeType, dict[tuple[object, bool], list[Import]]] = (
    weakref.WeakKeyDictionary()
)
"""Of each function's code, by package and whether it is called: reading it takes longer than
pickling it. Code of two packages may be equal, and mean other modules."""


def _imports(function: FunctionType, *, is_called: bool) -> list[Import]:
    """Return what a function imports; what every node has cannot import the program's modules."""
    if str(function.__module__).partition(".")[0] in _WITHOUT_PROGRAM:
        return []
    known = _known_imports.get(function.__code__)
    if known is None:
        known = _known_imports[function.__code__] = {}
    key = (function.__globals__.get("__package__"), is_called)
    if key not in known:
        known[key] = imports_of_function(function, is_called=is_called)
    return known[key]
