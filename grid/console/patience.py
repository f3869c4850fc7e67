"""What a person is told while a command takes long and cannot say how far it is.

Responsible for: a line on a terminal once a moment has passed, taken back when the wait is over.

Not here: progress that is known (`ProgressLine` in ``terminal.py``); the search itself
(``finding/``), which blocks, so that the line comes from a thread. So only commands use it that
do not fork.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TextIO

from grid.config import Config
from grid.console.terminal import ProgressLine

MOMENT_S = 1.0
"""What takes less needs no word: nodes that run here are found in a tenth of it."""


@contextlib.contextmanager
def told_if_slow(text: str, stream: TextIO | None, moment_s: float = MOMENT_S) -> Iterator[None]:
    """Show `text` on `stream`, if that is a terminal, once the ``with`` block has taken long."""
    with ProgressLine(stream) as progress:
        timer = threading.Timer(moment_s, progress.show, [text])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def search_text(config: Config, address: str | None) -> str:
    """Return what a command is doing that looks for a node, or asks the one at `address`."""
    what = (
        f"searching for a node of the cluster {config.cluster.name!r}"
        if address is None
        else f"waiting for an answer of {address}"
    )
    return f"{what} ... ({config.client.connect_deadline_s:g} s at most)"
