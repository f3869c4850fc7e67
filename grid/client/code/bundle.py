"""The modules of a program that a call needs, as one bundle: their sources, and what they require.

From the modules that a call names (``roots.py``) it follows their imports (``imports.py``). What
is the program's own (``modules.py``) goes in, with the packages around it; what is third-party
becomes a requirement, unless the code can do without it.

Not here: the way to a worker (``executor/bundles.py``), what a worker does with it
(``process/shipped_modules.py``). Data files and extension modules do not travel.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from grid.client.code.imports import Import, imports_of_source
from grid.client.code.modules import Found, Kind, are_unchanged, find
from grid.client.code.roots import NO_ROOTS, Roots
from grid.errors import ProtocolError, ValueTooLargeError
from grid.executor.bundles import Code, Shelf, code_of

BUNDLE_BYTES_MAX = 16 * 1024 * 1024
"""Sources of one call."""

LARGEST_NAMED = 3
THE_CALL = ""
"""Who imports what no module of the bundle does."""


class ShippedModule(msgspec.Struct, array_like=True, frozen=True):
    """A module, and the file it came from; a package that is a mere namespace has no source."""

    name: str
    is_package: bool
    source: str | None
    filename: str

    def has_content_of(self, other: ShippedModule) -> bool:
        """Whether both do the same, wherever they come from."""
        return (self.is_package, self.source) == (other.is_package, other.source)


class Requirement(msgspec.Struct, array_like=True, frozen=True):
    """What a node must have: a module, who has installed it here if known, and who imports it.

    `is_own`: it is the program's, and cannot be sent.
    """

    name: str
    distribution: str
    version: str
    importer: str
    is_own: bool = False


class Bundle(msgspec.Struct, array_like=True, frozen=True):
    """All that a call needs."""

    modules: list[ShippedModule]
    requirements: list[Requirement]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Bundle).decode


def decode_bundle(data: bytes) -> Bundle:
    """Undo what `Bundler.code_for` has encoded.

    Raises: ProtocolError.
    """
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a bundle of modules: {error}") from error


@dataclass(frozen=True, slots=True)
class _Kept:
    """A bundle, if there is need of one, and what its modules were like when it was made."""

    code: Code | None
    stamps: list[tuple[str, str, object]]

    def is_current(self) -> bool:
        return are_unchanged(self.stamps)


class Bundler:
    """Makes bundles, and keeps those that it has made. Any thread may call."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: Shelf[Roots, _Kept] = Shelf()
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def code_for(self, roots: Roots) -> Code | None:
        """Return the bundle for what needs these modules; None if every node has them all.

        Raises: ValueTooLargeError.
        """
        if roots is NO_ROOTS:
            return None
        with self._lock:
            kept = self._kept.get(roots)
        if kept is None or not kept.is_current():
            kept = _make(roots)
            with self._lock:
                self._kept.put(roots, kept, 0 if kept.code is None else len(kept.code.bundle))
        return kept.code

    def _renew_lock(self) -> None:
        """Another thread may have had it when this process was forked."""
        self._lock = threading.Lock()


def _make(roots: Roots) -> _Kept:
    closure = _Closure()
    # In order, so that all programs make the same bundle of the same modules.
    closure.follow([Import(name, True) for name in sorted(roots.firm)])
    closure.follow([Import(name, False) for name in sorted(roots.optional)])
    modules = [closure.modules[name] for name in sorted(closure.modules)]
    requirements = [closure.requirements[name] for name in sorted(closure.requirements)]
    if not modules and not requirements:
        return _Kept(None, [])
    data = _encode(Bundle(modules, requirements))
    if len(data) > BUNDLE_BYTES_MAX:
        raise ValueTooLargeError(_too_large(len(data), modules))
    return _Kept(code_of(data), closure.stamps)


class _Closure:
    """The modules that some imports lead to."""

    def __init__(self) -> None:
        self.modules: dict[str, ShippedModule] = {}
        self.requirements: dict[str, Requirement] = {}
        self.stamps: list[tuple[str, str, object]] = []
        self._found: dict[str, Found] = {}
        self._imports: dict[str, list[Import]] = {}
        self._firm: set[str] = set()
        self._open: deque[tuple[Import, str]] = deque()

    def follow(self, imports: Iterable[Import]) -> None:
        """Add what the call itself imports, and all that this leads to."""
        self._open.extend((wanted, THE_CALL) for wanted in imports)
        seen = set()
        while self._open:
            wanted, importer = self._open.popleft()
            if wanted not in seen:
                seen.add(wanted)
                self._visit(wanted, importer)

    def _visit(self, wanted: Import, importer: str) -> None:
        """Add a module and the packages around it, which are loaded before it."""
        parts = wanted.name.split(".")
        namespaces: list[str] = []
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            if name not in self._found:
                self._found[name] = find(name)
            found = self._found[name]
            match found.kind:
                case Kind.NAMESPACE:
                    namespaces.append(name)
                case Kind.OWN:
                    for namespace in namespaces:
                        self.modules[namespace] = ShippedModule(namespace, True, None, "")
                    namespaces.clear()
                    self._take(name, found, is_firm=wanted.is_firm)
                case _:
                    if wanted.is_firm and found.kind is not Kind.NOTHING:
                        self._require(name, importer, is_own=found.kind is Kind.WITHOUT_SOURCE)
                    return

    def _take(self, name: str, found: Found, *, is_firm: bool) -> None:
        if name not in self.modules:
            self.modules[name] = ShippedModule(name, found.is_package, found.source, found.filename)
            self.stamps.append((name, found.filename, found.stamp))
            package = name if found.is_package else name.rpartition(".")[0]
            self._imports[name] = imports_of_source(found.source, package)
        elif name in self._firm or not is_firm:
            return
        if is_firm:
            self._firm.add(name)
        for imported in self._imports[name]:
            self._open.append((Import(imported.name, is_firm and imported.is_firm), name))

    def _require(self, name: str, importer: str, *, is_own: bool) -> None:
        if name not in self.requirements:
            distribution, version = ("", "")
            if not is_own:
                # Loaded when there is something to look up: nodes start sooner.
                distributions = importlib.import_module("grid.client.code.distributions")
                distribution, version = distributions.distribution_of(name)
            self.requirements[name] = Requirement(name, distribution, version, importer, is_own)


def _too_large(size: int, modules: list[ShippedModule]) -> str:
    by_size = sorted(modules, key=lambda module: len(module.source or ""), reverse=True)
    largest = ", ".join(
        f"{module.name} ({len(module.source or ''):,})" for module in by_size[:LARGEST_NAMED]
    )
    return (
        f"the modules that the call needs take {size:,} bytes; at most {BUNDLE_BYTES_MAX:,} are "
        f"allowed, and the largest are {largest}: put data into a map, and packages on the nodes"
    )
