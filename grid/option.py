"""How one option is declared: value, unit, range and reason in a single place.

Responsible for: `option`, the field of an options dataclass; `OptionSpec`, what can be read back
from it; the rules every option obeys, whatever file or flag its value comes from.

Not responsible for: files, flags and sentences that name them (``config.py``); what the options
mean (``*/options.py``). It imports nothing but the standard library, so that every core may use it.

Theory of operation. An options class is a frozen, slotted, keyword-only dataclass whose fields are
made by `option`. The declaration travels in the field's metadata; the type of an option is the
type of its default. `cluster.toml`, its comments and the validation are all derived from that, so
they cannot disagree.

Departures and omissions. Options are text, whole numbers, numbers, truth values or lists of text;
nothing nests. The dataclasses themselves check nothing when built in code: tests and the simulator
need values no file may contain.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

OptionValue = bool | int | float | str | tuple[str, ...]
Check = Callable[[str], str]
"""Takes one text and returns what is required instead, or nothing if it is well formed."""

T = TypeVar("T", bool, int, float, str, tuple[str, ...])

_METADATA_KEY = "grid.option"
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PORT_MAX = 65535


class OptionError(ValueError):
    """A value breaks its option's rules; the message says what is allowed, nothing was changed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One option as declared.

    Attributes:
        name: the key in cluster.toml.
        default: the value of an option that is not given; always allowed.
        help: what it is and why one would change it, in full sentences.
        unit: unit of the number, in words; empty for text and counts.
        low: smallest number, shortest text or shortest list.
        high: greatest number, longest text or longest list.
        choices: if given, nothing else is allowed.
        check: the form of a text, or of every text in a list.
        hidden: the value must never appear in a message.
    """

    name: str
    default: OptionValue
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[OptionValue, ...] | None
    check: Check | None
    hidden: bool

    def allowed(self) -> str:
        """Return what is allowed, as a noun phrase: ``a whole number from 0 to 65535``."""
        if self.choices is not None:
            return "one of " + ", ".join(literal(choice) for choice in self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        unit = f" {self.unit}" if self.unit else ""
        if isinstance(self.default, int):
            return f"a whole number{self._range(unit)}"
        if isinstance(self.default, float):
            return f"a number{self._range(unit)}"
        if isinstance(self.default, tuple):
            return f"a list of texts{self._range(' items')}"
        or_empty = ", or empty" if self.default == "" and self.low else ""
        return f"text{self._range(' characters')}{or_empty}"

    def accept(self, value: object) -> OptionValue:
        """Return the value in its declared type.

        Raises: OptionError, with what must be given instead.
        """
        if self.choices is not None and value not in self.choices:
            raise OptionError(f"must be {self.allowed()}")
        # A truth value is an int to Python; `port = true` is a slip of the user's all the same.
        if isinstance(value, bool) != isinstance(self.default, bool):
            raise OptionError(f"must be {self.allowed()}")
        if isinstance(self.default, tuple):
            return self._accept_list(value)
        if isinstance(self.default, str):
            return self._accept_text(value)
        return self._accept_number(value)

    def shown(self, value: object) -> str:
        """Return the value as a message may show it."""
        if self.hidden:
            return "(not shown)"
        return literal(value)

    def _range(self, unit: str) -> str:
        if self.low is not None and self.high is not None:
            return f" from {self.low:.15g} to {self.high:.15g}{unit}"
        if self.low is not None:
            return f" of at least {self.low:.15g}{unit}"
        if self.high is not None:
            return f" of at most {self.high:.15g}{unit}"
        return f" in{unit}" if self.unit else ""

    def _is_outside(self, size: float) -> bool:
        too_low = self.low is not None and size < self.low
        return too_low or (self.high is not None and size > self.high)

    def _accept_number(self, value: object) -> OptionValue:
        is_whole = isinstance(self.default, int)
        if not isinstance(value, int if is_whole else (int, float)):
            raise OptionError(f"must be {self.allowed()}")
        # The range is compared first: an int beyond every float must not overflow on conversion.
        if not isinstance(value, int) and not math.isfinite(value):
            raise OptionError(f"must be {self.allowed()}, and finite")
        if self._is_outside(value):
            raise OptionError(f"must be {self.allowed()}")
        try:
            return value if is_whole else float(value)
        except OverflowError:
            raise OptionError(f"must be {self.allowed()}, and finite") from None

    def _accept_text(self, value: object) -> str:
        if not isinstance(value, str):
            raise OptionError(f"must be {self.allowed()}")
        if value == self.default:
            return value
        if self._is_outside(len(value)):
            raise OptionError(f"must be {self.allowed()}")
        self._check_text(value)
        return value

    def _accept_list(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)):
            raise OptionError(f"must be {self.allowed()}")
        texts: list[str] = []
        for item in value:
            if not isinstance(item, str):
                raise OptionError(f"must be {self.allowed()}; {literal(item)} is not a text")
            self._check_text(item)
            texts.append(item)
        if self._is_outside(len(texts)):
            raise OptionError(f"must be {self.allowed()}")
        return tuple(texts)

    def _check_text(self, text: str) -> None:
        # Such characters end up in terminals, logs and file names, where they do harm unseen.
        if not text.isprintable():
            raise OptionError("must not contain control or other invisible characters")
        required = self.check(text) if self.check is not None else ""
        if required:
            which = f"; {literal(text)} is not" if isinstance(self.default, tuple) else ""
            raise OptionError(f"must be {required}{which}")


def option(
    default: T,
    *,
    help: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[T, ...] | None = None,
    check: Check | None = None,
    hidden: bool = False,
) -> T:
    """Declare one option; the attributes are those of `OptionSpec`.

    Returns: a dataclass field. It is typed as the value, as `dataclasses.field` is, so that
    ``port: int = option(7701, ...)`` means what it says to a type checker.
    """
    spec = OptionSpec(
        name="",
        default=default,
        help=" ".join(help.split()),
        unit=unit,
        low=low,
        high=high,
        choices=choices,
        check=check,
        hidden=hidden,
    )
    spec.accept(default)
    return dataclasses.field(default=default, repr=not hidden, metadata={_METADATA_KEY: spec})


def specs_of(options_class: type[Any]) -> dict[str, OptionSpec]:
    """Return the options of an options dataclass by name, in the order of declaration."""
    return {
        field.name: dataclasses.replace(field.metadata[_METADATA_KEY], name=field.name)
        for field in dataclasses.fields(options_class)
    }


def literal(value: object) -> str:
    """Return a value as cluster.toml would spell it, cut short if it is very long."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = '"' + "".join(_escaped(character) for character in value[:100]) + '"'
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(literal(item) for item in value[:20]) + "]"
    elif isinstance(value, dict):
        text = "{...}"
    elif isinstance(value, int) and abs(value) >= 10**20:
        # Python refuses to print numbers of thousands of digits; nobody wants to read them.
        text = "a number of more than 20 digits"
    else:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def is_host(text: str) -> bool:
    """Tell whether a text is an IPv4 address or a host name (RFC 1123, underscores allowed)."""
    if is_ipv4(text):
        return True
    labels = text.removesuffix(".").split(".")
    # A name that ends in digits is an IPv4 address gone wrong, for example 10.0.0.256.
    is_name = all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
    return is_name and len(text) <= 253


def is_ipv4(text: str) -> bool:
    """Tell whether a text is an IPv4 address in dotted form."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def check_host(text: str) -> str:
    """Require an IPv4 address or host name."""
    return "" if is_host(text) else "an IPv4 address or a host name"


def check_ipv4(text: str) -> str:
    """Require an IPv4 address."""
    return "" if is_ipv4(text) else "an IPv4 address, such as 192.168.1.20"


def check_host_port(text: str) -> str:
    """Require ``host:port``; IPv6 is not supported, since discovery speaks IPv4 multicast."""
    host, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= _PORT_MAX
    required = '"host:port" (an IPv4 address or host name, a port from 1 to 65535)'
    return "" if is_port and is_host(host) else required


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
