"""A program's modules in a worker that does not have them: found first, and never mixed up.

Responsible for: the import of what is in bundles, before anything of the same name on this
machine; tracebacks that show its lines; no code from before when a module has changed; saying what
a task needs and this node lacks, before anything of the task is loaded.

Not responsible for: which modules a call needs (``client/code/bundle.py``), nor their way here.

Modules of several bundles stay loaded side by side as long as none of them contradicts another:
then the latest is right, and all from before go. A module that is not in a bundle (an extension
module, say) is taken from where this machine has the package, if it does.

Runs in: worker processes.
"""

from __future__ import annotations

import linecache
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from grid.client.code.bundle import THE_CALL, Bundle, Requirement, ShippedModule, decode_bundle
from grid.client.code.calls import forget_functions
from grid.client.code.modules import ask_finder, find_spec
from grid.errors import MissingPackageError, ProtocolError
from grid.executor.bundles import Shelf
from grid.executor.messages import WorkerCode


class ShippedModules(MetaPathFinder):
    """What this worker has of bundles; one for the process, first on `sys.meta_path`."""

    def __init__(self, node_name: str) -> None:
        """Start without; `node_name` is named in errors."""
        self._node_name = node_name
        self._shelf: Shelf[bytes, bytes] = Shelf()
        self._served: dict[str, ShippedModule] = {}
        self._prepared = b""

    def keep(self, message: WorkerCode) -> None:
        """Keep a bundle, for tasks that name it."""
        self._shelf.put(message.digest, message.bundle, len(message.bundle))

    def prepare(self, digest: bytes) -> None:
        """Make importable what a task needs, whose bundle has this digest; empty: it has none.

        Raises: MissingPackageError when this node lacks what the bundle requires besides;
            ProtocolError.
        """
        if not digest:
            return
        data = self._shelf.get(digest)
        if data is None:
            raise ProtocolError("a task came without its modules")
        if digest == self._prepared:
            return
        bundle = decode_bundle(data)
        self._serve(bundle)
        missing = [wanted for wanted in bundle.requirements if not _is_here(wanted.name)]
        if missing:
            raise MissingPackageError(_sentence(self._node_name, missing))
        self._prepared = digest

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what to import under a name, if it was shipped."""
        module = self._served.get(fullname)
        if module is None:
            return None
        spec = ModuleSpec(
            fullname, _Loader(module), origin=module.filename, is_package=module.is_package
        )
        spec.has_location = module.source is not None
        if module.is_package:
            here = ask_finder(PathFinder.find_spec, fullname, path)
            places = None if here is None else here.submodule_search_locations
            spec.submodule_search_locations = list(places or ())
        return spec

    def _serve(self, bundle: Bundle) -> None:
        if self._is_contradicted(bundle):
            self._drop()
        new = {module.name: module for module in bundle.modules if module.name not in self._served}
        if _unload(new):  # They came from this machine.
            forget_functions()
        self._served |= new

    def _is_contradicted(self, bundle: Bundle) -> bool:
        """Whether something that is served is something else for the bundle."""
        if any(wanted.name in self._served for wanted in bundle.requirements):
            return True
        known = ((module, self._served.get(module.name)) for module in bundle.modules)
        return any(old is not None and not module.has_content_of(old) for module, old in known)

    def _drop(self) -> None:
        _unload(self._served)
        for module in self._served.values():
            linecache.cache.pop(module.filename, None)
        self._served.clear()
        self._prepared = b""
        forget_functions()


class _Loader(ExecutionLoader):
    """Loads one shipped module."""

    def __init__(self, module: ShippedModule) -> None:
        self._module = module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code; errors in it show its lines, whatever this machine has there."""
        source, filename = self._module.source, self._module.filename
        if source is None:
            return
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, fullname: str) -> str | None:
        """Return the source, for tracebacks and for tasks that submit tasks."""
        return self._module.source

    def get_filename(self, fullname: str) -> str:
        """Return where the module came from; there may be no such file here."""
        return self._module.filename

    def is_package(self, fullname: str) -> bool:
        """Return whether there may be modules below it."""
        return self._module.is_package


def _unload(modules: Mapping[str, ShippedModule]) -> bool:
    """Forget what is loaded of these names, or below one of them; return whether anything was."""
    packages = [m.name for m in modules.values() if m.is_package and m.source is not None]
    below = tuple(f"{package}." for package in packages)
    loaded = [name for name in list(sys.modules) if name in modules or name.startswith(below)]
    for name in loaded:
        module = sys.modules.pop(name)
        parent, _, child = name.rpartition(".")
        if getattr(sys.modules.get(parent), child, None) is module:
            delattr(sys.modules[parent], child)
    return bool(loaded)


def _is_here(name: str) -> bool:
    return name in sys.modules or find_spec(name) is not None


def _sentence(node_name: str, missing: list[Requirement]) -> str:
    """Say what is missing, who wants it, and what helps."""
    wanted = ", ".join(_described(requirement) for requirement in missing)
    installable = " ".join(
        f"{requirement.distribution}=={requirement.version}"
        for requirement in missing
        if requirement.distribution
    )
    pip = f"{shlex.quote(sys.executable)} -m pip"  # The node's own: it may be in a .venv.
    advice = f"`{pip} install {installable}` there" if installable else "install it there"
    return f"node {node_name} has run nothing of the task, because it lacks {wanted}: {advice}"


def _described(requirement: Requirement) -> str:
    name, importer = requirement.name, requirement.importer
    if requirement.is_own:
        kind = f"module {name} (it is no Python source, which is all that can be sent)"
    elif requirement.distribution:
        origin = f"{requirement.distribution} {requirement.version} where it was submitted"
        kind = f"package {name} ({origin})"
    else:
        kind = f"package {name}"
    return f"{kind}, imported by {'the call itself' if importer == THE_CALL else importer}"
