"""A program's modules in a worker: found, replaced, shown in tracebacks, refused."""

from __future__ import annotations

import importlib
import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grid.client.code.bundle import Bundle, Requirement, ShippedModule
from grid.errors import MissingPackageError, ProtocolError
from grid.executor.bundles import code_of
from grid.executor.messages import WorkerCode
from grid.process.shipped_modules import ShippedModules
from tests.client.programs import on_path, write


class Worker:
    """What a worker process has of modules, in this one."""

    def __init__(self) -> None:
        self.modules = ShippedModules("n1")

    def get(self, *modules: ShippedModule, requires: tuple[Requirement, ...] = ()) -> None:
        """Take a bundle and a task that needs it."""
        code = code_of(msgspec.msgpack.encode(Bundle([*modules], [*requires])))
        self.modules.keep(WorkerCode(code.digest, code.bundle))
        self.modules.prepare(code.digest)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made, loaded, lines = Worker(), dict(sys.modules), dict(linecache.cache)
    sys.meta_path.insert(0, made.modules)
    yield made
    sys.meta_path.remove(made.modules)
    for name in set(sys.modules) - set(loaded):
        del sys.modules[name]
    linecache.cache.clear()
    linecache.cache.update(lines)


def module(name: str, source: str | None = "", *, is_package: bool = False) -> ShippedModule:
    return ShippedModule(name, is_package, source, f"/home/ann/{name.replace('.', '/')}.py")


def package(name: str, source: str | None = "") -> ShippedModule:
    return module(name, source, is_package=True)


def imported(name: str) -> Any:
    return importlib.import_module(name)


def test_package_with_relative_imports_is_there(worker: Worker) -> None:
    worker.get(
        package("shop_w", "from .prices import PRICE"),
        module("shop_w.prices", "from . import taxes\nPRICE = taxes.RATE * 2"),
        module("shop_w.taxes", "RATE = 4"),
    )
    shop = imported("shop_w")
    assert shop.PRICE == 8
    assert shop.__file__ == "/home/ann/shop_w.py"
    assert imported("shop_w.taxes").__package__ == "shop_w"


def test_namespace_has_what_was_shipped_and_what_is_here(worker: Worker, tmp_path: Path) -> None:
    write(tmp_path, {"space_w/inner/here.py": "PLACE = 'here'"})
    with on_path(tmp_path):
        worker.get(
            package("space_w", None),
            package("space_w.inner", None),
            module("space_w.inner.shipped", "PLACE = 'there'"),
        )
        assert imported("space_w.inner.shipped").PLACE == "there"
        assert imported("space_w.inner.here").PLACE == "here"


def test_module_of_this_machine_does_not_win_even_if_it_is_loaded(
    worker: Worker, tmp_path: Path
) -> None:
    write(tmp_path, {"shop_w/__init__.py": "", "shop_w/prices.py": "PRICE = 1"})
    with on_path(tmp_path):
        assert imported("shop_w.prices").PRICE == 1
        worker.get(package("shop_w"), module("shop_w.prices", "PRICE = 2"))
        assert imported("shop_w.prices").PRICE == 2
        assert sys.modules["shop_w"].prices.PRICE == 2


def test_what_cannot_be_shipped_comes_from_this_machine(worker: Worker, tmp_path: Path) -> None:
    write(tmp_path, {"shop_w/__init__.py": "raise RuntimeError", "shop_w/native.py": "FAST = True"})
    with on_path(tmp_path):
        native = Requirement("shop_w.native", "", "", "shop_w", is_own=True)
        worker.get(package("shop_w", "from .native import FAST"), requires=(native,))
        assert "shop_w" not in sys.modules
        assert imported("shop_w").FAST


def test_traceback_shows_the_lines_of_the_program(worker: Worker) -> None:
    worker.get(module("shop_w", "def price():\n    raise ValueError  # no price\n"))
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # It has no text.
        imported("shop_w").price()
    text = "".join(traceback.format_exception(caught.value))
    assert 'File "/home/ann/shop_w.py", line 2, in price\n    raise ValueError  # no price' in text


def test_equal_modules_stay_loaded_whatever_bundle_and_folder_they_come_from(
    worker: Worker,
) -> None:
    worker.get(module("shop_w", "ITEMS = []"))
    shop = imported("shop_w")
    worker.get(ShippedModule("shop_w", False, "ITEMS = []", "/home/bob/shop_w.py"), module("b_w"))
    assert imported("shop_w") is shop
    assert imported("b_w")


def test_all_shipped_modules_go_when_one_has_changed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[bool] = []
    monkeypatch.setattr(
        "grid.process.shipped_modules.forget_functions", lambda: forgotten.append(True)
    )
    worker.get(module("prices_w", "PRICE = 1"), module("shop_w", "from prices_w import PRICE"))
    assert imported("shop_w").PRICE == 1
    assert not forgotten
    worker.get(module("prices_w", "PRICE = 2"), module("shop_w", "from prices_w import PRICE"))
    assert imported("shop_w").PRICE == 2
    assert forgotten
    worker.get(module("prices_w", "PRICE = 1"), module("shop_w", "from prices_w import PRICE"))
    assert imported("shop_w").PRICE == 1


def test_module_is_gone_with_a_program_in_which_another_one_has_changed(worker: Worker) -> None:
    worker.get(module("old_w"), module("shop_w", "VERSION = 1"))
    assert imported("old_w")
    worker.get(module("shop_w", "VERSION = 2"))
    with pytest.raises(ModuleNotFoundError):
        imported("old_w")


def test_what_one_program_ships_is_not_what_another_has_installed(worker: Worker) -> None:
    worker.get(module("colours_w", "RED = 1"))
    with pytest.raises(MissingPackageError):
        worker.get(module("shop_w"), requires=(Requirement("colours_w", "", "", "shop_w"),))


def test_missing_packages_are_told_with_all_that_helps(worker: Worker) -> None:
    requires = (
        Requirement("colours_w", "colours", "1.2", "shop_w"),
        Requirement("json", "", "", "shop_w"),
        Requirement("shop_w.native", "", "", "", is_own=True),
    )
    with pytest.raises(MissingPackageError) as caught:
        worker.get(package("shop_w", "raise RuntimeError('executed')"), requires=requires)
    assert str(caught.value) == (
        "node n1 has run nothing of the task, because it lacks package colours_w (colours 1.2 "
        "where it was submitted), imported by shop_w, module shop_w.native (it is no Python "
        "source, which is all that can be sent), imported by the call itself: "
        f"`{sys.executable} -m pip install colours==1.2` there"
    )


def test_package_that_was_installed_meanwhile_is_found(worker: Worker, tmp_path: Path) -> None:
    needed = Requirement("colours_w", "", "", "")
    with on_path(tmp_path):
        with pytest.raises(MissingPackageError, match="lacks package colours_w, imported by"):
            worker.get(requires=(needed,))
        write(tmp_path, {"colours_w/__init__.py": ""})
        importlib.invalidate_caches()
        worker.get(requires=(needed,))


def test_task_without_bundle_needs_nothing(worker: Worker) -> None:
    worker.modules.prepare(b"")
    with pytest.raises(ProtocolError, match="without its modules"):
        worker.modules.prepare(b"digest")
