"""Short connections that membership asks for: is it there, and what is its member list.

Responsible for: the calling side of `StreamPing` and `Exchange`. The called side is in
``sessions.py``.

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine

from grid.errors import AuthenticationError, ProtocolError
from grid.membership.effects import Exchange, StreamAnswer, StreamPing
from grid.membership.messages import PushPull
from grid.transport.stream import FrameStream, attach, dial
from grid.types import Address, NodeId, Payload
from grid.wire.catalog import decode_exchange, encode
from grid.wire.handshake import Hello, Purpose
from grid.wire.security import ClusterKeys

logger = logging.getLogger("grid.network")

EXCHANGE_DEADLINE_S = 5.0
RETRY_GAP_S = 0.05
"""After a connection that broke off in the handshake: its process may be about to end."""

CONTACTS_MAX = 64
"""Short connections at once; one more counts as unanswered."""

FAILURES = (OSError, AuthenticationError, ProtocolError, ValueError, OverflowError)
"""What may go wrong with a connection; the last two are for addresses that cannot exist."""

PingEnded = Callable[[int, StreamAnswer], None]
ExchangeEnded = Callable[[Address, NodeId | None, PushPull | None], None]


class Contacts:
    """The short connections under way."""

    def __init__(
        self,
        keys: ClusterKeys,
        own_id: NodeId,
        on_ping_ended: PingEnded,
        on_exchange_ended: ExchangeEnded,
    ) -> None:
        """Keep the callbacks; each question is answered exactly once until `close`."""
        self._keys = keys
        self._own_id = own_id
        self._on_ping_ended = on_ping_ended
        self._on_exchange_ended = on_exchange_ended
        self._tasks: set[asyncio.Task[None]] = set()

    def ping(self, ping: StreamPing) -> None:
        """Connect and shake hands."""
        if not self._start(self._ping(ping)):
            self._on_ping_ended(ping.probe, StreamAnswer.SILENT)

    def exchange(self, exchange: Exchange) -> None:
        """Connect and swap member lists."""
        if not self._start(self._exchange(exchange)):
            self._on_exchange_ended(exchange.address, None, None)

    def close(self) -> None:
        """Break off everything; nothing is called back any more."""
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None]) -> bool:
        if len(self._tasks) >= CONTACTS_MAX:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _ping(self, ping: StreamPing) -> None:
        answer = StreamAnswer.SILENT
        try:
            async with asyncio.timeout(ping.deadline_s):
                answer = await self._knock(ping)
        except TimeoutError:
            pass
        self._on_ping_ended(ping.probe, answer)

    async def _knock(self, ping: StreamPing) -> StreamAnswer:
        """Try until the answer is conclusive: a reset in the handshake says nothing yet."""
        while True:
            try:
                sock, node_id = await dial(ping.address, self._hello(Purpose.PING), self._keys)
            except ConnectionRefusedError:
                return StreamAnswer.REFUSED
            except FAILURES as error:
                logger.debug("no answer from %s: %s", ping.address, error)
                await asyncio.sleep(RETRY_GAP_S)
                continue
            sock.close()
            if node_id == ping.node_id:
                return StreamAnswer.ANSWERED
            # An address that leads back here (a bridge that every machine has) proves nothing.
            is_own = node_id == self._own_id
            return StreamAnswer.SILENT if is_own else StreamAnswer.ANOTHER_NODE

    async def _exchange(self, exchange: Exchange) -> None:
        node_id: NodeId | None = None
        reply: PushPull | None = None
        try:
            async with asyncio.timeout(EXCHANGE_DEADLINE_S):
                hello = self._hello(Purpose.EXCHANGE)
                sock, node_id = await dial(exchange.address, hello, self._keys)
                reply = await _ask(sock, exchange.message)
        except FAILURES as error:
            logger.debug("no exchange with %s: %s", exchange.address, error or "no answer")
        self._on_exchange_ended(exchange.address, node_id if reply is not None else None, reply)

    def _hello(self, purpose: Purpose) -> Hello:
        return Hello.create(purpose, client_id=self._own_id)


async def _ask(sock: socket.socket, message: PushPull) -> PushPull:
    """Send one frame, read one frame, close."""
    answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()

    def on_frame(body: Payload) -> None:
        if not answer.done():
            answer.set_result(body)

    def on_lost() -> None:
        if not answer.done():
            answer.set_exception(ConnectionResetError("the connection ended without an answer"))

    stream = await attach(sock, FrameStream(on_frame, on_lost))
    try:
        stream.send(encode(message))
        return decode_exchange(await answer)
    finally:
        stream.abort()
