"""What waits to be sent on a connection: in order, without blocking, held as long as it must be."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from grid.process.storage_output import PIECES_MAX, ClientLink, HeldAnswer
from grid.storage.messages import Done
from grid.storage.partition import Partition
from grid.storage.replies import Held
from tests.wire.framing import Frames

CLIENT = b"client-of-16-byt"


class Ends:
    """A link, and the client's end of its socket."""

    def __init__(self) -> None:
        self.client, ours = socket.socketpair()
        ours.setblocking(False)
        self.client.setblocking(False)
        self.link = ClientLink(ours, CLIENT)
        self._frames = Frames()

    def received(self) -> list[bytes]:
        """Return the bodies that have arrived."""
        bodies: list[bytes] = []
        while True:
            try:
                bodies += self._frames.feed(self.client.recv(1 << 20))
            except BlockingIOError:
                return bodies


@pytest.fixture(name="ends")
def fixture_ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.client.close()
    ends.link.socket.close()


def held_until(partition: Partition, sequence: int, body: bytes) -> HeldAnswer:
    return HeldAnswer(Held(Done(1, 1), ((partition, sequence),)), body)


def test_more_pieces_than_one_call_takes_are_sent_in_order(ends: Ends) -> None:
    bodies = [b"%d" % number for number in range(PIECES_MAX * 2)]
    for body in bodies:
        ends.link.keep_frame(body)
    ends.link.flush()
    assert ends.received() == bodies
    assert (len(ends.link.unsent), ends.link.unsent_bytes) == (0, 0)


def test_what_the_socket_does_not_take_stays_and_goes_on_where_it_stopped(ends: Ends) -> None:
    bodies = [bytes([number]) * 100_000 for number in range(50)]
    for body in bodies:
        ends.link.keep_frame(body)
    received: list[bytes] = []
    rounds = 0
    while len(received) < len(bodies):
        ends.link.flush()  # Returns at once, however much is left.
        received += ends.received()
        assert ends.link.unsent_bytes == sum(map(len, ends.link.unsent))
        rounds += 1
    assert rounds > 1
    assert received == bodies


def test_flush_to_who_has_gone_raises(ends: Ends) -> None:
    ends.client.close()
    ends.link.keep_frame(b"body")
    with pytest.raises(OSError, match="pipe"):
        ends.link.flush()


def test_replies_behind_a_held_one_are_released_with_it_in_order(ends: Ends) -> None:
    partition, link = Partition(1), ends.link
    for answer in (held_until(partition, 3, b"first"), b"second", held_until(partition, 5, b"3rd")):
        link.hold(answer)
    link.hold(b"fourth")
    assert link.held_bytes == len(b"firstsecond3rdfourth")
    assert not link.release()
    partition.confirm(4)
    assert link.release()
    link.flush()
    assert ends.received() == [b"first", b"second"]
    assert link.held_bytes == len(b"3rdfourth")
    partition.confirm(5)
    assert link.release()
    assert not link.release()
    link.flush()
    assert ends.received() == [b"3rd", b"fourth"]
    assert (len(link.held), link.held_bytes) == (0, 0)


def test_reply_is_hopeless_while_it_waits_for_a_backup_that_there_is_not(ends: Ends) -> None:
    one, other = Partition(1), Partition(1)
    one.has_backup = other.has_backup = True
    ends.link.hold(held_until(one, 1, b"first"))
    ends.link.hold(held_until(other, 2, b"second"))
    before = ends.link.is_hopeless
    other.lose_backup()
    behind = ends.link.is_hopeless  # The first one has a backup, and comes before.
    one.confirm(1)
    assert ends.link.release()
    first = ends.link.is_hopeless
    other.confirm(2)
    assert [before, behind, first, ends.link.is_hopeless] == [False, False, True, False]


def test_reply_that_waits_for_several_partitions_waits_for_all(ends: Ends) -> None:
    one, other = Partition(1), Partition(1)
    ends.link.hold(HeldAnswer(Held(Done(1, 2), ((one, 1), (other, 2))), b"body"))
    one.confirm(9)
    assert not ends.link.release()
    other.confirm(2)
    assert ends.link.release()
