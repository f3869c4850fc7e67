"""What `apply` does at the data: a function whose repetition, or loss, shows in the next sum.

It returns the same for the same value, as a function must that may be called by the wrongly dead,
too. A module of its own, because workers import it.

Runs in: worker processes.
"""

from __future__ import annotations

import time


def counted(total: int, pause_s: float) -> int:
    """Return one more, after a moment in which others write, or a node dies."""
    time.sleep(pause_s)
    return total + 1
