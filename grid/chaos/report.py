"""The figures of a run: the JSON document and the table that people see. Pure but for `render`."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.table import Table

from grid.chaos.memory import Growth
from grid.chaos.plan import Wishes
from grid.verification.findings import Findings


@dataclass(slots=True)
class Tally:
    """What a run counts beside the findings about its history."""

    kills: int = 0
    kills_in_motion: int = 0
    restarts: int = 0
    copies_restored_s: list[float] = field(default_factory=list)
    not_restored: int = 0
    """Kills after which copies were still missing when patience ended."""
    partitions_lost: int = 0
    promotion_reports: list[dict[str, int]] = field(default_factory=list)
    ballast_missing: int = 0
    longest_unavailable_s: float = 0.0
    was_cut_short: bool = False
    complaints: list[str] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    """Of the memory of processes that lived long enough."""

    @property
    def under_reported(self) -> int:
        """Losses beyond what promotions said was the most they had lost."""
        return sum(
            max(0, each["lost"] - each["reported_at_most"]) for each in self.promotion_reports
        )

    @property
    def ratio_p50(self) -> float | None:
        """What was reported for each write really lost: the median of the kills that lost any."""
        ratios = [r["reported_at_most"] / r["lost"] for r in self.promotion_reports if r["lost"]]
        return round(median(ratios), 3) if ratios else None

    @property
    def is_clean(self) -> bool:
        """Whether the cluster kept what it promises beside its history."""
        is_flat = all(growth.is_flat for growth in self.growths)
        return is_flat and not (self.not_restored or self.under_reported or self.ballast_missing)


def document_of(wishes: Wishes, findings: Findings, tally: Tally) -> dict[str, Any]:
    """Return the figures as ``--json`` writes them."""
    restored = tally.copies_restored_s
    counts = findings.counts()
    first = ("operations", "acknowledged", "lost", "lost_reported", "lost_unreported")
    is_clean = findings.is_clean and tally.is_clean
    return {
        "nodes": wishes.nodes,
        **{name: counts.pop(name) for name in (*first, "stale_reads")},
        "kills": tally.kills,
        "restarts": tally.restarts,
        "longest_unavailable_s": round(tally.longest_unavailable_s, 3),
        "copies_restored_s": {
            "p50": round(median(restored), 3) if restored else None,
            "max": round(max(restored), 3) if restored else None,
        },
        "verdict": "clean" if is_clean else "violated",
        "seed": wishes.seed,
        **counts,
        "kills_in_motion": tally.kills_in_motion,
        "not_restored": tally.not_restored,
        "partitions_lost": tally.partitions_lost,
        "promotion_reports": tally.promotion_reports,
        "reported_ratio_p50": tally.ratio_p50,
        "under_reported": tally.under_reported,
        "ballast_missing": tally.ballast_missing,
        "was_cut_short": tally.was_cut_short,
        "memory": [growth.document() for growth in tally.growths],
        "examples": findings.examples,
    }


def render(document: dict[str, Any]) -> Table:
    """Return the table for people."""
    table = Table(title=f"chaos: {document['verdict']}", show_header=False, title_justify="left")
    for key, value in document.items():
        if key in ("promotion_reports", "examples"):
            continue
        if key == "memory":
            for growth in value:
                table.add_row(f"memory of {growth['process']}", _growth_text(growth))
            continue
        if isinstance(value, dict):
            for name, figure in value.items():
                table.add_row(f"{key} {name}", "-" if figure is None else f"{figure:.2f}")
        else:
            table.add_row(key, "-" if value is None else str(value))
    return table


def _growth_text(growth: dict[str, Any]) -> str:
    verdict = "flat" if growth["is_flat"] else "GROWS"
    return (
        f"{verdict}: {growth['mib']:.1f} MiB {growth['mib_per_hour']:+.2f} MiB/h over "
        f"{growth['minutes']:.0f} min"
    )
