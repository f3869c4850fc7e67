"""The style that a linter cannot check: sizes, headers, forgotten marks, a test for each module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

FOLDERS = ("grid", "bench", "tests")
FILES: dict[str, Path] = {
    path.relative_to(ROOT).as_posix(): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}
# Spelled in two halves, or this file would be the first to fail.
TASK_MARK = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")

# How a text names a module or a package, in two backquotes: by its path.
NAMED_PATH = re.compile(r"``([\w/.]+(?:\.py|/))``")

# Modules with functions and no test file of their own name; each with the reason. An entry whose
# module has gone, or has its test by now, fails as well.
WITHOUT_TEST: dict[str, str] = {
    "grid/__init__.py": "tests/test_api.py loads every public name",
    "grid/secret_file.py": "only config.py uses it: tests/test_config.py runs all of it",
    "grid/bench_command.py": "run by tests/books/test_run.py and tests/test_cli.py",
    "grid/client/tasks/links.py": "sockets under the executor: tests/client/tasks/test_executor.py",
    "grid/client/tasks/task_thread.py": "tests/client/tasks/test_executor_contract.py has it all",
    "grid/demo/stage.py": "real hosts: tests/hosts/test_demo_command.py has all of it",
    "grid/hosts/host.py": "a host is one of several: tests/hosts/test_network.py has all of them",
    "grid/hosts/netns.py": "what the kernel offers for a host: tests/hosts/test_network.py",
    "grid/membership/messages.py": "layouts; tests/wire/test_catalog.py sends each of them",
    "grid/replication/agenda.py": "one number: tests/replication/test_channel.py",
    "grid/process/storage_links.py": "every process of a node: tests/processes/test_supervisor.py",
    "grid/storage/messages.py": "layouts, and a digest: tests/storage/test_partitions.py",
    "grid/supervisor/family.py": "forks and pipes: tests/processes/test_supervisor.py",
    "grid/supervisor/strays.py": "a task's sleeper, in tests/processes/test_supervisor.py",
    "grid/membership/options.py": "declarations and one check, all read by tests/test_config.py",
}


def functions_of(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("name", FILES)
def test_file_and_its_functions_are_short(name: str):
    text = FILES[name].read_text()
    assert len(text.splitlines()) <= FILE_LINES_MAX
    long_functions = {
        function.name: (function.end_lineno or 0) - function.lineno + 1
        for function in functions_of(ast.parse(text))
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long_functions == {}


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("tests/")])
def test_module_says_what_it_is_for(name: str):
    docstring = ast.get_docstring(ast.parse(FILES[name].read_text()))
    assert docstring, "a module begins with a docstring: what it is for, and what it is not"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_left_marked_for_later(name: str):
    lines = FILES[name].read_text().splitlines()
    marked = [number for number, line in enumerate(lines, start=1) if TASK_MARK.search(line)]
    assert marked == []


def is_there(named: str, name: str) -> bool:
    """Whether a path leads somewhere from beside a file, from a folder around it, or from grid/."""
    places = [*Path(name).parents, Path("grid")]
    return any((ROOT / place / named).exists() for place in places)


def test_modules_that_texts_name_are_there():
    gone = [
        f"{name}: {named}"
        for name, path in FILES.items()
        for named in NAMED_PATH.findall(path.read_text())
        if not is_there(named, name)
    ]
    assert gone == []


@pytest.mark.parametrize("page", ["README.md", "grid/ARCHITECTURE.md"])
def test_modules_that_pages_name_are_there(page: str):
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / page).read_text())
    assert [end for end in named if not any(f"/{name}".endswith(f"/{end}") for name in FILES)] == []


def modules_with_code() -> set[str]:
    return {
        name
        for name, path in FILES.items()
        if name.startswith("grid/") and functions_of(ast.parse(path.read_text()))
    }


def has_test(name: str) -> bool:
    return any((ROOT / "tests").rglob(f"test_{Path(name).name}"))


def test_every_module_with_code_has_a_test_file_or_a_reason():
    untested = {name for name in modules_with_code() if not has_test(name)}
    assert untested - WITHOUT_TEST.keys() == set()


def test_no_reason_outlives_its_module():
    needed = {name for name in modules_with_code() if not has_test(name)}
    assert WITHOUT_TEST.keys() - needed == set()
