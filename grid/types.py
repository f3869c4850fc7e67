"""Ids, units and the few value types that every layer speaks.

Sibling cores never import each other; what one must say to another (which node, which
partition, which version of the table) is said in the words defined here.

Not here: messages (they live beside the core that owns them) and options (``option.py``).
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NewType

NodeId = NewType("NodeId", bytes)
"""A node's random 128-bit boot id: 16 bytes, new at every start, never reused."""

PartitionId = NewType("PartitionId", int)
"""``0 .. PARTITION_COUNT - 1``."""

Epoch = NewType("Epoch", int)
"""Version of one partition's assignment; grows at every change of owner."""

if TYPE_CHECKING:
    Payload = bytes | memoryview
else:
    Payload = memoryview  # msgspec takes one type only, and decodes this one without a copy.
"""Bytes that are passed on as they came: made as `bytes`, received as a view on their frame."""

PARTITION_COUNT = 256
"""Fixed slices of the key space: 64 of Redis Cluster's 16,384 slots each."""

NODE_ID_BYTES = 16

INFO, WARNING, ERROR = 20, 30, 40
"""Severity of a `LogLine`: the numbers of ``logging``, which cores do not import."""


class Address(NamedTuple):
    """Where a node answers, TCP and UDP alike."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``."""
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse ``host:port``.

        Raises: ValueError when the port is missing or no number in 1 .. 65535.
        """
        host, colon, port = text.rpartition(":")
        is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65_536
        if not (colon and host and ":" not in host and is_port):
            raise ValueError(f"{text!r} is not host:port")
        return cls(host, int(port))


class TableStamp(NamedTuple):
    """Which partition table: its term, the coordinator that wrote it, its version.

    The empty stamp (term 0) stands for "no table yet".
    """

    term: int
    coordinator: bytes
    version: int

    def same_lineage(self, other: TableStamp) -> bool:
        """Whether both were written by one coordinator in one term."""
        return self.term == other.term and self.coordinator == other.coordinator

    def supersedes(self, other: TableStamp) -> bool:
        """Whether a holder of `other` must give way to this one.

        A higher term wins, then the lower coordinator id (simultaneous founders), then the
        higher version.
        """
        if self.term != other.term:
            return self.term > other.term
        if self.coordinator != other.coordinator:
            return self.coordinator < other.coordinator
        return self.version > other.version


NO_TABLE = TableStamp(0, b"", 0)


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Effect of a core: call back with `timer` after `delay_s`; replaces an equal timer."""

    timer: Hashable
    delay_s: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """Effect of a core: something a person should read. `level`: INFO, WARNING or ERROR.

    `has_event`: the events tell it too, as a sentence (``process/events.py``).
    """

    level: int
    text: str
    has_event: bool = False


def log_text(phrase: str, **fields: object) -> str:
    """Return the text of a log line: a fixed phrase to search for, then ``key=value`` pairs.

    A value that would not read as one word is quoted, as JSON quotes it.
    """
    return " ".join([phrase, *(f"{key}={_one_word(str(fields[key]))}" for key in fields)])


def _one_word(text: str) -> str:
    is_word = text.isprintable() and text and not any(sign in ' "=' for sign in text)
    return text if is_word else json.dumps(text, ensure_ascii=not text.isprintable())


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, for people: ``1 node``, ``2 nodes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def short(node_id: bytes) -> str:
    """Return the first 8 hex digits of a boot id, for people."""
    return node_id[:4].hex()
