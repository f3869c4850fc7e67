"""Which distribution has installed a module: `sklearn` is of scikit-learn.

A module of its own, since loading it takes a node longer than all that it has to do with it.
"""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, packages_distributions, version


def distribution_of(name: str) -> tuple[str, str]:
    """Return the name and version of the distribution that has installed a module, or nothing."""
    try:
        return name, version(name)
    except (PackageNotFoundError, ValueError):
        for distribution in _distributions().get(name, ()):
            return distribution, version(distribution)
    return "", ""


@functools.cache
def _distributions() -> dict[str, list[str]]:
    """Return the distributions of each top-level name: all of them are read for that, once."""
    return dict(packages_distributions())
