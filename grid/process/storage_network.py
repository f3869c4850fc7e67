"""A storage process's end of the pipe to its network process, and what comes and goes there.

Responsible for: the table's assignments, questions and their answers, what is carried to and from
storage processes of other nodes; none of it ever blocks.

Not responsible for: clients (``storage.py``), replication itself (``replication/``).

Runs in: storage process.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from multiprocessing.connection import Connection

import msgspec

from grid.process.storage_output import Link
from grid.replication.replicator import Replicator
from grid.storage.store import Store
from grid.types import log_text, short
from grid.wire.catalog import decode_network_to_storage, encode
from grid.wire.family import (
    Accounting,
    CopiesChanged,
    FromPeer,
    HoldingsKnown,
    HoldingsWanted,
    PromotionKnown,
    ReleaseDone,
    ReleaseWanted,
    Serve,
    StorageToNetwork,
    ToPeer,
)
from grid.wire.frame import FrameReader

logger = logging.getLogger("grid.storage")

PIPE_BYTES_MAX = 96 * 1024 * 1024
"""A message of the stream may hold a value of the largest size."""


class NetworkEnd:
    """The pipe, and the replicator that speaks through it."""

    def __init__(
        self, control: Connection, store: Store, replicator: Replicator, poll: select.epoll
    ) -> None:
        """Take over the pipe; `poll` is told when there is something to send."""
        sock = socket.socket(fileno=socket.dup(control.fileno()))
        control.close()
        sock.setblocking(False)
        self._link = Link(sock)
        self._reader = FrameReader(b"", PIPE_BYTES_MAX)
        self._store = store
        self._replicator = replicator
        self._poll = poll
        self._has_progress = False

    def fileno(self) -> int:
        """Return the pipe's descriptor."""
        return self._link.socket.fileno()

    def take_progress(self) -> bool:
        """Return whether gates or copies may have changed since the last call."""
        has_progress, self._has_progress = self._has_progress, False
        return has_progress

    def tell(self, message: StorageToNetwork) -> None:
        """Send a message."""
        self._link.keep_frame(encode(message))
        self._flush()

    def serve(self, event: int) -> bool:
        """Send and receive what can be; return False when the pipe has ended."""
        try:
            if event & select.EPOLLOUT:
                self._flush()
            if event & ~select.EPOLLOUT:
                count = self._link.socket.recv_into(self._reader.space())
                if not count:
                    return False
                self._reader.advance(count)
                for body in self._reader.bodies():
                    self._handle(body)
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def replicate(self) -> float:
        """Let the replicator do what is due; return how long to sleep at most."""
        replicator = self._replicator
        now_s = time.monotonic()
        if now_s < replicator.due_s:
            return replicator.due_s - now_s
        replicator.step()
        for outgoing in replicator.take_outgoing():
            self._link.keep_frame(encode(ToPeer(outgoing.node_id, outgoing.index, outgoing.body)))
        while replicator.released:
            released = replicator.released.pop(0)
            self.tell(ReleaseDone(released.token, released.partition_ids))
            self._has_progress = True
        while replicator.promotions:
            told = replicator.promotions.pop(0)
            self.tell(PromotionKnown(told.source, told.partitions, told.lost_at_most))
        if replicator.take_change():
            self.tell(CopiesChanged(is_last=not replicator.is_filling))
        if self._link.unsent:
            self._flush()
        return max(0.0, replicator.due_s - now_s)

    def _handle(self, body: memoryview) -> None:
        replicator = self._replicator
        match decode_network_to_storage(body):
            case FromPeer(node_id=node_id, index=index, body=message):
                try:
                    replicator.receive(node_id, index, message)
                except msgspec.MsgspecError as error:
                    text = log_text("no stream message", id=short(node_id), reason=error)
                    logger.warning(text)
                self._has_progress = True
            case Serve(assignments=assignments, living=living, protects=protects):
                replicator.protect(protects)
                replicator.serve(assignments, frozenset(living))
                self._has_progress = True
            case HoldingsWanted(token=token):
                accounting = Accounting(
                    replicator.at_risk, replicator.unprotected, self._store.partitions.operations
                )
                self.tell(HoldingsKnown(token, replicator.holdings(), accounting))
            case ReleaseWanted(token=token, partition_ids=partition_ids, handovers=handovers):
                replicator.release(token, partition_ids, handovers)

    def _flush(self) -> None:
        """Send what the pipe takes now; its end is noticed when it is read."""
        link = self._link
        try:
            link.flush()
        except BrokenPipeError:
            link.unsent.clear()
        events = select.EPOLLIN | (select.EPOLLOUT if link.unsent else 0)
        if events != link.events:
            link.events = events
            self._poll.modify(link.socket.fileno(), events)
