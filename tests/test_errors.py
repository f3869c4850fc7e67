"""The error tree that the docstring draws is the one the classes form."""

from __future__ import annotations

import inspect
import pickle

import pytest

from grid import errors
from grid.errors import GridError, OperationError

CLASSES: dict[str, type[BaseException]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BaseException)
}


def drawn_tree() -> dict[str, str]:
    """Return the parent of each class as the indentation of the docstring says it."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = [(0, "Exception")]
    for line in (errors.__doc__ or "").splitlines():
        indent = len(line) - len(line.lstrip())
        if indent == 0:
            continue
        while path[-1][0] >= indent:
            path.pop()
        name = line.split()[0]
        parents[name] = path[-1][1]
        path.append((indent, name))
    return parents


def test_tree_in_the_docstring_equals_the_classes() -> None:
    real = {name: kind.__bases__[0].__name__ for name, kind in CLASSES.items()}
    assert drawn_tree() == real


def test_every_error_has_one_parent_and_the_same_root() -> None:
    assert all(len(kind.__bases__) == 1 for kind in CLASSES.values())
    assert all(issubclass(kind, GridError) for kind in CLASSES.values())
    assert not issubclass(GridError, OSError | ValueError)


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_says_what_it_means(name: str) -> None:
    assert (CLASSES[name].__doc__ or "").endswith(".")


@pytest.mark.parametrize(
    "kind", [kind for kind in CLASSES.values() if issubclass(kind, OperationError)]
)
def test_operation_error_keeps_its_outcome_beside_the_message(kind: type[OperationError]) -> None:
    for outcome in ("not_applied", "unknown"):
        error = kind("the node is gone", outcome)
        assert (str(error), error.outcome) == ("the node is gone", outcome)


@pytest.mark.parametrize(
    "name", [name for name, kind in CLASSES.items() if not issubclass(kind, OperationError)]
)
def test_error_can_be_pickled(name: str) -> None:
    error = pickle.loads(pickle.dumps(CLASSES[name]("José")))
    assert type(error) is CLASSES[name]
    assert str(error) == "José"


def test_an_operation_s_error_keeps_its_outcome_when_pickled():
    error = pickle.loads(pickle.dumps(errors.OperationTimeoutError("late", "unknown")))
    assert type(error) is errors.OperationTimeoutError
    assert (str(error), error.outcome) == ("late", "unknown")
