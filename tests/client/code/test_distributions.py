"""Who has installed a module."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from grid.client.code.distributions import distribution_of


@pytest.mark.parametrize(
    ("name", "distribution"), [("numpy", "numpy"), ("xdist", "pytest-xdist"), ("_pytest", "pytest")]
)
def test_distribution_is_found_also_if_it_has_another_name(name: str, distribution: str) -> None:
    assert distribution_of(name) == (distribution, version(distribution))


def test_what_nobody_has_installed_has_none() -> None:
    assert distribution_of("nowhere_m") == ("", "")
