"""What a comparing benchmark runs: which rows and peers were asked for, and can be measured here.

Not here: what a peer needs (``bench/peers/``, ``bench/executor_peers/``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence


def names_of(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the parser of a comma-separated choice."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)}: choose from {', '.join(allowed)}"
            )
        return names

    return parse


def present(peers: Sequence[str], lacking: Callable[[str], list[str]], remedy: str) -> list[str]:
    """Return those that can be measured here; say what the others lack, and what helps."""
    found = []
    for name in peers:
        if missing := lacking(name):
            print(f"{name} is left out: no {', no '.join(missing)} ({remedy})", file=sys.stderr)
        else:
            found.append(name)
    return found
