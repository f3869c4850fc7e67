"""What a demonstration found: its figures, each check of them, the JSON document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One figure against its target, in words for people."""

    what: str
    figure: str
    target: str
    is_met: bool

    def __str__(self) -> str:
        """Return the line of the verdict."""
        verdict = "ok    " if self.is_met else "FAILED"
        return f"{verdict} {self.what}: {self.figure} (target: {self.target})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one demonstration ended; `failure` is the reason why it did not come to its end."""

    demo: str
    figures: dict[str, Any]
    checks: tuple[Check, ...]
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether it came to its end, and every check is met."""
        return not self.failure and all(check.is_met for check in self.checks)


def at_most(what: str, value: float, limit: float, unit: str) -> Check:
    """Return the check of a figure that should be small."""
    return Check(what, f"{value:.2f}{unit}", f"at most {limit:g}{unit}", value <= limit)


def at_least(what: str, value: float, limit: float) -> Check:
    """Return the check of a figure that should be large; a count if it is a whole number."""
    figure = str(value) if isinstance(value, int) else f"{value:.2f}"
    return Check(what, figure, f"at least {limit:g}", value >= limit)


def exactly(what: str, value: object, target: object) -> Check:
    """Return the check of a figure that can only be right or wrong."""
    return Check(what, _said(value), _said(target), value == target)


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def document_of(demo: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what ``--json`` writes; of several demonstrations the figures are by their names."""
    figures: dict[str, Any] = {outcome.demo: outcome.figures for outcome in outcomes}
    reasons = [f"{outcome.demo}: {outcome.failure}" for outcome in outcomes if outcome.failure]
    document = {
        "demo": demo,
        "passed": all(outcome.passed for outcome in outcomes),
        "figures": figures.get(demo, figures),
    }
    return document | ({"failure": "; ".join(reasons)} if reasons else {})
