"""TCP links to other nodes: one outgoing link per node, messages in one direction.

Each node dials its own links; what it receives comes on the links others dialled. A message
that cannot be delivered is dropped and counted: the protocols above repeat by themselves.

Links to the members named by `keep` stay open without any message: the end of one is the first
sign that a process has ended (``membership/process_death.py``).

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable

from grid.errors import AuthenticationError, ProtocolError
from grid.membership.messages import MemberRecord
from grid.transport.stream import FrameStream, attach, dial
from grid.types import NodeId, Payload
from grid.wire.handshake import Hello, Purpose
from grid.wire.security import ClusterKeys

logger = logging.getLogger("grid.network")

UNSENT_MESSAGES_MAX = 256
"""Messages waiting for a link to come up; beyond it the oldest is dropped."""

REDIAL_GAP_S = 1.0
"""Between attempts to reach a member that must have a link."""


class _PeerLink:
    """A link that is being dialled or is up."""

    def __init__(self, member: MemberRecord) -> None:
        self.member = member
        self.waiting: deque[bytes] = deque(maxlen=UNSENT_MESSAGES_MAX)
        self.stream: FrameStream | None = None
        self.dialling: asyncio.Task[None] | None = None
        self.is_kept = False
        self.has_message = asyncio.Event()
        """Cuts a pause between attempts short."""

    @property
    def is_open(self) -> bool:
        return self.stream is not None and self.stream.is_open


class PeerLinks:
    """All outgoing links of this node."""

    def __init__(
        self, keys: ClusterKeys, own_id: NodeId, on_ended: Callable[[NodeId], None]
    ) -> None:
        """Start without links. `on_ended`: a kept link that was up ended by EOF or RST."""
        self._keys = keys
        self._own_id = own_id
        self._on_ended = on_ended
        self._links: dict[NodeId, _PeerLink] = {}
        self.dropped_count = 0

    def send(self, member: MemberRecord, body: bytes) -> None:
        """Send a message to a member, dialling it first if need be."""
        link = self._link_to(member)
        if link.is_open and link.stream is not None:
            link.stream.send(body)
            return
        link.waiting.append(body)
        link.has_message.set()
        self._ensure(link)

    def keep(self, members: Iterable[MemberRecord]) -> None:
        """Hold a link to exactly these members, whether or not there is something to say."""
        wanted = {member.node_id: member for member in members}
        for node_id, link in self._links.items():
            link.is_kept = node_id in wanted
        for member in wanted.values():
            link = self._link_to(member)
            link.is_kept = True
            if not link.is_open:
                self._ensure(link)

    def drop(self, node_id: NodeId) -> None:
        """Close the link to a node that is gone."""
        link = self._links.pop(node_id, None)
        if link is None:
            return
        link.is_kept = False
        if link.dialling is not None:
            link.dialling.cancel()
        if link.stream is not None:
            link.stream.abort()

    async def close(self, deadline_s: float) -> None:
        """Finish what is being sent (a farewell, say), then close all links."""
        for link in self._links.values():
            link.is_kept = False
        dialling = [link.dialling for link in self._links.values() if link.dialling is not None]
        if dialling:
            await asyncio.wait(dialling, timeout=deadline_s)
        for node_id in list(self._links):
            link = self._links.pop(node_id)
            if link.dialling is not None:
                link.dialling.cancel()
            if link.stream is not None:
                link.stream.close()

    def _link_to(self, member: MemberRecord) -> _PeerLink:
        link = self._links.setdefault(member.node_id, _PeerLink(member))
        link.member = member  # It may have another address now.
        return link

    def _ensure(self, link: _PeerLink, after_s: float = 0.0) -> None:
        if link.dialling is None:
            link.dialling = asyncio.get_running_loop().create_task(self._dial(link, after_s))

    async def _dial(self, link: _PeerLink, pause_s: float) -> None:
        """Bring a link up; a kept one is tried until it is up or no longer wanted."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await link.has_message.wait()
                link.has_message.clear()
                if await self._try(link) or not link.is_kept:
                    return
                pause_s = REDIAL_GAP_S
        finally:
            link.dialling = None

    async def _try(self, link: _PeerLink) -> bool:
        member = link.member
        hello = Hello.create(Purpose.PEER, client_id=self._own_id)
        try:
            sock, _ = await dial(member.address, hello, self._keys, member.node_id)
            stream = FrameStream(_unexpected_frame, lambda: self._lost(link))
            link.stream = await attach(sock, stream)
            while link.waiting:
                link.stream.send(link.waiting.popleft())
        except (OSError, TimeoutError, AuthenticationError, ProtocolError) as error:
            self.dropped_count += len(link.waiting)
            link.waiting.clear()
            # Membership says what this means; here it is only a detail.
            logger.debug("no link to %s: %s", member.name, error or "it does not answer")
            return False
        return True

    def _lost(self, link: _PeerLink) -> None:
        stream, link.stream = link.stream, None
        if not link.is_kept or stream is None:
            return
        if stream.was_reset:
            self._on_ended(link.member.node_id)
        if link.is_kept:
            # Not at once: it may be a node that ends every link as soon as it is up.
            self._ensure(link, REDIAL_GAP_S)


def _unexpected_frame(body: Payload) -> None:
    raise ProtocolError("peers answer on their own links")
