"""The narration of a demonstration: numbered steps, commands, what was seen, verdicts, progress.

Not here: what is told (the demonstrations), and judging it (``figures.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from grid.demo.figures import Check

OnProgress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

LINES_OF_PROGRESS = 4
"""Where no terminal can show a bar."""


class Narrator:
    """Tells one demonstration after the other."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console
        self._steps = count(1)

    def begin(self, demo: str, sentence: str) -> None:
        """Announce a demonstration; its steps count from 1."""
        self._steps = count(1)
        self._line(f"\n{demo}: {sentence}")

    def step(self, text: str) -> None:
        """Say what is done next."""
        self._line(f"{next(self._steps):3}. {text}")

    def typed(self, host: str, command: str) -> None:
        """Show a command as a person would type it on that machine."""
        self._line(f"       {host}$ {command}")

    def seen(self, text: str) -> None:
        """Say what was seen."""
        self._line(f"     > {text}")

    def verdict(self, check: Check) -> None:
        """Show a figure beside its target."""
        self._line(f"  {check}")

    def say(self, text: str) -> None:
        """Say something about it all."""
        self._line(text)

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[OnProgress]:
        """Show how far long work is: a bar on a terminal, a few lines elsewhere."""
        if not self._console.is_terminal:
            self._line(f"     . {text} ...")
            yield self._in_lines(text)
            return
        columns = (
            TextColumn("     . {task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bars:
            bar = bars.add_task(text, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)

    def _in_lines(self, text: str) -> OnProgress:
        told = 0

        def show(done: int, total: int) -> None:
            nonlocal told
            part = LINES_OF_PROGRESS * done // total if total else 0
            if told < part < LINES_OF_PROGRESS:
                told = part
                self._line(f"     . {text}: {done} of {total}")

        return show

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
