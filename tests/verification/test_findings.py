"""Counts that add up, and the verdict."""

from __future__ import annotations

import pytest

from grid.verification.findings import EXAMPLES_MAX, VIOLATIONS, Findings


@pytest.mark.parametrize("name", VIOLATIONS)
def test_any_violation_ends_a_clean_verdict(name: str) -> None:
    findings = Findings()
    assert findings.verdict == "clean"
    setattr(findings, name, 1)
    assert findings.verdict == "violated"


def test_reported_losses_and_false_alarms_are_no_violation() -> None:
    assert Findings(lost=3, lost_reported=3, sync_lost_excused=1, false_alarms=2).is_clean


def test_rounds_add_up_and_examples_are_bounded() -> None:
    total = Findings()
    for number in range(EXAMPLES_MAX + 5):
        one = Findings(operations=2)
        one.explain(f"example {number}")
        total.add(one)
    assert total.counts()["operations"] == 2 * (EXAMPLES_MAX + 5)
    assert len(total.examples) == EXAMPLES_MAX
