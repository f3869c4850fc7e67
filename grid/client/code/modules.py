"""Where a module is and what it is: of the standard library, installed, or the program's own.

Nothing is imported to find that out, so nothing of the program is executed.

Not here: which modules (``imports.py``, ``bundle.py``).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from importlib.machinery import ModuleSpec
from pathlib import Path

EVERYWHERE = sys.stdlib_module_names | {"grid", "cloudpickle", "__main__", "__mp_main__"}
"""Top-level names of what every node has, and of what travels by value."""

Finder = Callable[[str, Sequence[str] | None], ModuleSpec | None]

_SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


class Kind(Enum):
    """What there is to do for a module."""

    NOTHING = auto()
    """Every node has it; or it is none, or cannot be found here either."""
    INSTALLED = auto()
    """The node must have it: a third-party package."""
    NAMESPACE = auto()
    """A package without code, for those below it."""
    OWN = auto()
    """It is the program's: its source is sent."""
    WITHOUT_SOURCE = auto()
    """It is the program's, and cannot be sent: an extension module."""


@dataclass(frozen=True, slots=True)
class Found:
    """A module, not loaded for this; what follows `is_package` is of an own one.

    `stamp` was taken before the source was read: see `are_unchanged`.
    """

    kind: Kind
    is_package: bool = False
    source: str = ""
    filename: str = ""
    stamp: object = None


NOTHING = Found(Kind.NOTHING)


def find_spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module, loaded or not; nothing is imported, not even its parents."""
    spec = _loaded_spec(name)
    if spec is not None:
        return spec
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        path = _search_path(parent)
        if path is None:
            return None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        found = None if find is None else ask_finder(find, name, path)
        if found is not None:
            return found
    return None


def ask_finder(find: Finder, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Call a `find_spec` for a module whose package, with this `path`, may not be loaded."""
    try:
        return find(name, path)
    except KeyError:  # A namespace: it looks for its package, and does not need it.
        return find(name.rpartition(".")[2], path)


def find(name: str) -> Found:
    """Return what a module is, whose parents are the program's own if it has any."""
    if name.partition(".")[0] in EVERYWHERE:
        return NOTHING
    spec = find_spec(name)
    if spec is None:
        has_path = hasattr(sys.modules.get(name), "__path__")  # Made by hand, in a program.
        return Found(Kind.NAMESPACE, is_package=True) if has_path else NOTHING
    if spec.loader is None or spec.origin is None:
        is_namespace = spec.submodule_search_locations is not None
        return Found(Kind.NAMESPACE, is_package=True) if is_namespace else NOTHING
    if spec.origin in ("built-in", "frozen"):
        return NOTHING
    if _is_below_site(spec.origin):
        return Found(Kind.INSTALLED)
    if _is_below(spec.origin, _library_folders()):
        return NOTHING
    is_package = spec.submodule_search_locations is not None
    stamp = _stamp(name, spec.origin)
    source = _source(spec)
    if source is None:
        return Found(Kind.WITHOUT_SOURCE, is_package)
    return Found(Kind.OWN, is_package, source, spec.origin, stamp)


def are_unchanged(stamps: Sequence[tuple[str, str, object]]) -> bool:
    """Return whether own modules, by name, filename and stamp, are as they were.

    One that is loaded is, until it is loaded anew: what runs here is to run there. One that is
    not loaded is while its file is.
    """
    modules = sys.modules
    for name, filename, stamp in stamps:
        if getattr(modules.get(name), "__spec__", None) is not stamp:
            now = _stamp(name, filename)
            if isinstance(now, ModuleSpec) or now != stamp:
                return False
    return True


def _stamp(name: str, filename: str) -> object:
    spec = _loaded_spec(name)
    if spec is not None:
        return spec
    try:
        status = os.stat(filename)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _loaded_spec(name: str) -> ModuleSpec | None:
    """Return the spec of a loaded module; None also if it goes by another name, or by none."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec if isinstance(spec, ModuleSpec) and spec.name == name else None


def _search_path(package: str) -> Sequence[str] | None:
    """Return where the modules of a package are looked for; None if it is no package."""
    loaded: Sequence[str] | None = getattr(sys.modules.get(package), "__path__", None)
    if loaded is not None:
        return loaded
    spec = find_spec(package)
    return None if spec is None else spec.submodule_search_locations


def _source(spec: ModuleSpec) -> str | None:
    get_source = getattr(spec.loader, "get_source", None)
    try:
        if get_source is not None:
            source: str | None = get_source(spec.name)
            return source
        if spec.origin is not None and spec.origin.endswith(".py"):
            return importlib.util.decode_source(Path(spec.origin).read_bytes())
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        pass  # It has gone, or is no Python.
    return None


def _is_below_site(path: str) -> bool:
    return not _SITE_FOLDERS.isdisjoint(Path(path).parts) or _is_below(path, _site_folders())


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder) for folder in folders)


@functools.cache
def _site_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths["purelib"], paths["platlib"], *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    return tuple(folder.rstrip(os.sep) + os.sep for folder in folders)


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[key].rstrip(os.sep) + os.sep for key in ("stdlib", "platstdlib"))
