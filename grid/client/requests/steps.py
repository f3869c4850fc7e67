"""What an operation of a client asks of the world: the border between its core and its shells.

An *operation* is a generator: it yields steps, is sent their results, and returns its own. A
`GridError` in a step is thrown into it, for only it knows whether a write was sent before. The
same operations are run by blocking sockets in the caller's thread (``blocking.py``) and by an
asyncio event loop (``aio.py``); they know neither.

Not here: the decisions (``core.py`` and what uses it).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from grid.client.requests.routing import Target
from grid.storage.messages import Reply, Request

T = TypeVar("T")


@dataclass(slots=True)
class Ask:
    """Send a request to a storage process: `Reply`, or `Lost`.

    Where `payload` is given, it follows the value that the request has (its last field): a large
    value is not copied into the message.
    """

    target: Target
    request: Request
    deadline_s: float
    payload: bytes | None = None


@dataclass(slots=True)
class AskAll:
    """Send many requests, the next ones while earlier ones are carried out: None.

    `asks` is consumed as they are sent, up to `window` of them without a reply; those to one
    storage process arrive in order. `take` is given each reply, or `Lost`, in the same order.
    """

    asks: Iterator[Ask]
    take: Callable[[Ask, Reply | Lost], None]
    window: int


@dataclass(frozen=True, slots=True)
class FetchTable:
    """Fetch and adopt the newest table, no later than `deadline_s`: None, or why that failed."""

    deadline_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """No reply will come.

    `is_sent`: the request may have arrived. `is_late`: the deadline is over.
    """

    reason: str
    is_sent: bool
    is_late: bool = False


Step: TypeAlias = Ask | AskAll | FetchTable | Pause
Operation: TypeAlias = Generator[Step, Any, T]
