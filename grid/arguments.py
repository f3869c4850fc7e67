"""What the command line's arguments may be: numbers within bounds, files that can be written.

Each is an argparse `type`: it returns the value or raises `ArgumentTypeError` with one sentence.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path


def writable_file(text: str) -> Path:
    """Refuse what cannot be written before the work is done, not after it."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written")
    return path


def number_within(low: float, high: float) -> Callable[[str], float]:
    """Return the type of numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return number

    return parse


def whole_within(low: int, high: int) -> Callable[[str], int]:
    """Return the type of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse
