"""A module imports only from layers above its own, and the cores know nothing of the world.

The list below is the architecture; ARCHITECTURE.md explains it. A new top-level module or package
of grid/ fails here until it has its line.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "grid"

# Lowest first. A unit (top-level module or package of grid/) imports from earlier lines only, and
# units of one line never import each other.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"option", "types", "errors"}),  # words everybody shares; standard library only
    frozenset({"membership", "partition", "storage"}),  # cores that know nothing of each other
    frozenset({"replication", "executor"}),  # cores that build on one or two of those
    frozenset({"verification"}),  # judges what clients saw; a stranger to all of the above
    frozenset({"wire"}),  # bytes to messages; may know every core's messages
    frozenset({"transport"}),  # moves frames it does not understand
    frozenset({"secret_file", "machine_secret"}),  # secrets on disk; they know errors only
    frozenset({"remembered_peers"}),  # who was met before; beside the machine's secret
    frozenset({"client"}),
    frozenset({"finding"}),  # where a client's first node is found
    frozenset({"process"}),  # shells: one main per operating-system process
    frozenset({"config"}),  # the options of everything above, from one file
    frozenset({"supervisor"}),  # runs a node, whoever watches
    frozenset({"console"}),  # one who watches
    frozenset({"simulation"}),
    frozenset({"books"}),  # the analysis that `grid bench` runs; a user of the grid
    frozenset({"local", "api"}),  # what a program imports; see API below
    frozenset({"joblib", "testing"}),  # the same for users of joblib and pytest, which they import
    frozenset({"hosts"}),  # machines in miniature; start real nodes and ask them
    frozenset({"chaos"}),  # kills real nodes; a user of the grid, and their starter
    frozenset({"demo"}),  # what is shown on hosts in miniature
    frozenset({"arguments"}),  # what a command's arguments may be
    frozenset({"bench_command", "chaos_command", "demo_command", "sim_command", "status_commands"}),
    frozenset({"cli", "__main__"}),
)

# The public surface: these may import each other and anything but the command line.
API = frozenset({"__init__", "local", "api"})
COMMAND_LINE = frozenset({"cli", "__main__"})

# Narrower than the line above them would allow.
BASE = frozenset({"option", "types", "errors"})
MAY_IMPORT_ONLY: dict[str, frozenset[str]] = {
    "replication": BASE | {"partition", "storage"},
    "executor": BASE | {"partition"},
    # What shared code with the checked would share its mistakes.
    "verification": frozenset({"types", "errors"}),
    # A client learns of members and entries through the protocol, like a stranger.
    # Of storage it needs the data plane's messages and the limits on keys and values.
    "client": BASE | {"partition", "storage", "executor", "wire", "transport"},
    # It reads what nodes tell each other of themselves, and has no part in it.
    "finding": BASE | {"membership", "wire", "transport", "client"},
    "secret_file": frozenset({"errors"}),
    "machine_secret": frozenset({"errors"}),
    "remembered_peers": frozenset({"types", "machine_secret"}),
}

# The same within the client; its other modules are what programs hold, above all of these.
CLIENT_PARTS = ("options", "requests", "entries", "code", "tasks", "processing")

CORES = frozenset({"membership", "partition", "storage", "replication", "executor", "verification"})
# Time arrives as `now`, randomness as a seeded Random, and the driver does the rest.
FORBIDDEN_IN_CORES = {
    "asyncio",
    "logging",
    "multiprocessing",
    "os",
    "random",
    "select",
    "selectors",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uvloop",
}
# The type of a generator that is handed in; the module's own functions stay out of reach.
ALLOWED_IN_CORES = frozenset({("random", "Random")})


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES: dict[str, Path] = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES: dict[str, ast.Module] = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imported(name: str) -> set[tuple[str, str]]:
    """Return what a module imports as (module, name), the name empty for `import module`."""
    found: set[tuple[str, str]] = set()
    package = name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from grid.wire import frame` imports the module grid.wire.frame.
                whole = f"{source}.{alias.name}"
                found.add((whole, "") if whole in FILES else (source, alias.name))
    return found


def own_imports(name: str) -> set[str]:
    """Return the modules of this package that a module imports."""
    return {module for module, _ in imported(name) if module.split(".")[0] == "grid"}


def unit_of(name: str) -> str:
    """Return the top-level part of grid/ that a module belongs to."""
    return name.split(".")[1] if "." in name else "__init__"


# Whatever grid/__init__.py offers besides and no line claims is part of the public surface too.
ON_A_LINE = frozenset().union(*LAYERS)
PUBLIC = API | ({unit_of(module) for module in own_imports("grid")} - ON_A_LINE)


def layer_of(unit: str) -> int:
    """Return the line of a unit; one without a line stands above them all."""
    line = "api" if unit in PUBLIC else unit
    return next((index for index, units in enumerate(LAYERS) if line in units), len(LAYERS))


def may_import(importer: str, target: str) -> bool:
    """Tell whether a module of one unit may import a module of another."""
    if importer == target:
        return True
    if importer in PUBLIC:
        return target not in COMMAND_LINE
    if importer == "__main__":
        return True
    is_allowed_here = target in MAY_IMPORT_ONLY.get(importer, {target})
    return is_allowed_here and layer_of(target) < layer_of(importer)


def test_every_top_level_part_has_its_line():
    units = {unit_of(name) for name in FILES}
    assert units - ON_A_LINE - PUBLIC == set()


@pytest.mark.parametrize("name", FILES)
def test_module_imports_only_from_layers_above(name: str):
    wrong = {
        target for target in own_imports(name) if not may_import(unit_of(name), unit_of(target))
    }
    assert wrong == set(), f"{name} must not import {', '.join(sorted(wrong))}"


def client_part_of(name: str) -> int:
    """Return the line of a module of the client among `CLIENT_PARTS`."""
    part = [*name.split("."), ""][2]
    return CLIENT_PARTS.index(part) if part in CLIENT_PARTS else len(CLIENT_PARTS)


@pytest.mark.parametrize("name", [name for name in FILES if unit_of(name) == "client"])
def test_part_of_the_client_imports_only_from_parts_above(name: str):
    wrong = {
        target
        for target in own_imports(name)
        if unit_of(target) == "client" and client_part_of(target) > client_part_of(name)
    }
    assert wrong == set(), f"{name} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("name", [name for name in FILES if unit_of(name) in CORES])
def test_core_does_not_touch_the_world(name: str):
    wrong = {
        (module, item)
        for module, item in imported(name)
        if module.split(".")[0] in FORBIDDEN_IN_CORES and (module, item) not in ALLOWED_IN_CORES
    }
    assert wrong == set(), f"{name} is a core and must not import {wrong}"


@pytest.mark.parametrize("name", FILES)
def test_no_import_hides_in_a_function(name: str):
    functions = [
        node
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    hidden = {
        f"line {node.lineno}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert hidden == set()


def test_no_modules_import_each_other_in_a_circle():
    remaining = {name: own_imports(name) & FILES.keys() for name in FILES}
    # A package imports its own modules to offer their names; they name the package only in paths.
    while leaves := {name for name, targets in remaining.items() if not targets & remaining.keys()}:
        remaining = {name: targets for name, targets in remaining.items() if name not in leaves}
    assert set(remaining) == set(), "these modules are in a circle, or lead into one"


def test_the_rules_notice_what_they_are_for():
    assert not may_import("membership", "partition")
    assert not may_import("partition", "replication")
    assert not may_import("executor", "storage")
    assert not may_import("client", "membership")
    assert not may_import("wire", "transport")
    assert not may_import("types", "errors")
    assert not may_import("local", "cli")
    assert may_import("wire", "executor")
    assert may_import("supervisor", "config")
    assert may_import("local", "api")
