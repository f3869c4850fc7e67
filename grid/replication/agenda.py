"""When somebody has to look after the channels of a process.

Not here: what is due then (``channel.py``).
"""

from __future__ import annotations


class Agenda:
    """When somebody has to look after the channels of a process: seconds on its clock."""

    __slots__ = ("due_s",)

    def __init__(self) -> None:
        """At once."""
        self.due_s = 0.0
