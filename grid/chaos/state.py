"""The status document as far as it matters here: are all copies there, is anything moving?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class State:
    """What one node says of the cluster at one moment."""

    total: int
    safe: int
    unprotected: int
    lost: int
    moving: int
    alive: frozenset[str]
    holding: frozenset[str]
    """Names of members that the partition table still gives something, dead ones too."""

    @property
    def is_safe(self) -> bool:
        """Whether every partition has all its copies and stays where it is."""
        return self.safe == self.total and self.moving == 0

    @property
    def is_in_motion(self) -> bool:
        """Whether copies are being made."""
        return self.moving > 0 or self.unprotected > 0

    def has_replaced(self, name: str) -> bool:
        """Whether all that a dead node held is elsewhere by now, or lost."""
        return name not in self.alive and name not in self.holding

    def describe(self) -> str:
        """Return it in a few words."""
        return (
            f"{self.safe} of {self.total} partitions safe, {self.unprotected} unprotected, "
            f"{self.lost} lost, {self.moving} moving, {len(self.alive)} nodes"
        )


def state_from(document: dict[str, Any]) -> State:
    """Read a status document."""
    partitions, members = document["partitions"], document["members"]
    return State(
        partitions["total"],
        partitions["safe"],
        partitions["unprotected"],
        partitions["lost"],
        partitions["moving"],
        frozenset(member["name"] for member in members if member["state"] == "alive"),
        frozenset(m["name"] for m in members if m["primaries"] or m["backups"]),
    )
