"""What a timeout may be."""

from __future__ import annotations

import math

import pytest

from grid.client.processing.means import check_timeout


@pytest.mark.parametrize("timeout_s", [0, -1, math.inf, math.nan, 31 * 86_400])
def test_a_time_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds and at most 30 days"):
        check_timeout(timeout_s)


def test_no_timeout_and_a_short_one_are_fine() -> None:
    check_timeout(None)
    check_timeout(0.001)
