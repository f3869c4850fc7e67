"""What the command line's arguments may be: numbers within bounds, files that can be written.

Each is an argparse `type`: it returns the value or raises `ArgumentTypeError` with one sentence.
Besides, the parser of all commands, and how a command with its examples is added to it.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Refuses in one line, which names the command whose help says more; argparse shows usage.

    The parsers of its commands are of this class as well.
    """

    def error(self, message: str) -> NoReturn:
        """End with code 2."""
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")

    def parse_command(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the options; what the command does not know is an error of that command."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            self.prog = f"{self.prog} {options.command}"
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options


UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def add_command(
    commands: Commands, name: str, help_text: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command whose ``--help`` ends with `examples`, a line each; return its parser."""
    return commands.add_parser(
        name,
        help=help_text,
        description=described(help_text),
        epilog=f"examples:\n{examples.strip(chr(10))}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def described(help_text: str) -> str:
    """Return the line of a list of commands as the sentence that begins a command's own help."""
    return f"{help_text[0].upper()}{help_text[1:]}."


def time_span(text: str) -> float:
    """Return the seconds of a span like ``90``, ``10m``, ``2h``."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span; examples: 90, 10m, 2h, 1d")
    return float(found[1]) * UNITS_S[found[2]]


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
