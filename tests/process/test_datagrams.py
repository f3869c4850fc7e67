"""A node's datagram sockets on loopback, and hostile datagrams that arrive there.

Each node here is a datagram port with a whole control plane behind it, which answers as the
driver would. Loopback delivers before ``sendto`` returns, so nothing here waits.
"""

from __future__ import annotations

import asyncio
import random
import socket
import typing
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import msgspec
import pytest

from grid.membership.effects import SendDatagram
from grid.membership.messages import (
    Ack,
    Beacon,
    Gossip,
    MemberRecord,
    MembershipMessage,
    MemberState,
    Ping,
    PushPull,
)
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.process import datagrams
from grid.process.control_plane import ControlPlane
from grid.process.datagrams import DatagramPort
from grid.transport.multicast import MulticastSockets
from grid.types import NODE_ID_BYTES, Address, NodeId, SetTimer
from grid.wire.catalog import decode_membership, encode
from grid.wire.datagram import DatagramOpener, DatagramSealer, Opened
from grid.wire.report import NodeReport, encode_report
from grid.wire.security import derive_keys

SECRET = b"correct horse battery staple"
KEYS = derive_keys(SECRET, "grid")
UDP_BYTES_MAX = 65_507
PATIENCE_S = 10.0
KINDS = typing.get_args(MembershipMessage)
REPORT = encode_report(NodeReport())


def node_id(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def record(number: int, address: Address) -> MemberRecord:
    alive = MemberState.ALIVE
    return MemberRecord(
        node_id(number), f"n{number}", (address.host,), address.port, 1, 1, 1, 0, alive
    )


def udp_socket(stack: ExitStack, host: str = "127.0.0.1") -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


class Target:
    """Node 1, and member 2, whose socket and keys the test holds."""

    def __init__(self, stack: ExitStack) -> None:
        self.udp = udp_socket(stack)
        self.address = Address(*self.udp.getsockname())
        self.member = udp_socket(stack)
        member_address = Address(*self.member.getsockname())
        self.plane = ControlPlane(
            record(1, self.address), MembershipOptions(), DiscoveryOptions(), Random(1), lambda: 0.0
        )
        greeting = PushPull(b"", REPORT, [record(2, member_address), record(3, Address("", 9))])
        self.plane.handle_exchange(node_id(2), greeting)
        self.port = DatagramPort(self.udp, None, KEYS, node_id(1), self.receive)
        self.sealer = DatagramSealer(KEYS, node_id(2))
        self.received: list[MembershipMessage] = []

    def receive(self, sender: NodeId, source: Address, message: MembershipMessage) -> None:
        self.received.append(message)
        self.perform(self.plane.handle_datagram(sender, source, message))

    def perform(self, effects: typing.Sequence[object]) -> list[typing.Hashable]:
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self.port.send(effect.address, effect.message)
        return [effect.timer for effect in effects if isinstance(effect, SetTimer)]

    def hear(self, data: bytes, sock: socket.socket | None = None) -> None:
        """Let a datagram arrive, by default from the member's address, and handle it."""
        (sock or self.member).sendto(data, self.address)
        self.port.drain()

    def say(self, message: MembershipMessage) -> None:
        """Let the member say something."""
        self.hear(self.sealer.seal(encode(message)))

    def is_answering(self) -> bool:
        """Whether a ping of the member is answered, as it should be at any time."""
        opener, probe = DatagramOpener(KEYS), random.Random(self.sealer._counter).getrandbits(32)
        self.say(Ping(probe, REPORT, []))
        answers = []
        while (data := next_datagram(self.member)) is not None:
            opened = opener.open(data)
            assert isinstance(opened, Opened)
            answers.append(decode_membership(opened.body))
        return any(isinstance(answer, Ack) and answer.probe == probe for answer in answers)

    def view(self) -> list[MemberRecord]:
        return list(self.plane.membership.members)


def next_datagram(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(UDP_BYTES_MAX)
    except BlockingIOError:
        return None


@pytest.fixture(name="stack")
def fixture_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(name="target")
def fixture_target(stack: ExitStack) -> Target:
    return Target(stack)


# -- what is refused ------------------------------------------------------------------------------


def random_message(generator: Random) -> bytes:
    """Return a well-formed body of no particular meaning: only its bytes matter here."""
    updates = [record(n, Address("127.0.0.1", 9)) for n in range(generator.randrange(8))]
    return encode(generator.choice([Ping(1, REPORT, updates), Gossip(REPORT, updates)]))


def refused(name: str, generator: Random) -> bytes:
    """Return a hostile datagram of the named kind."""
    good = DatagramSealer(KEYS, node_id(2)).seal(random_message(generator))
    match name:
        case "random":
            return generator.randbytes(generator.randrange(1_500))
        case "oversized":
            return generator.randbytes(generator.randrange(60_000, UDP_BYTES_MAX))
        case "lengthened":
            return good + generator.randbytes(generator.randrange(1, 60_000))
        case "truncated":
            return good[: generator.randrange(len(good))]
        case "flipped":
            place = generator.randrange(len(good))
            return (
                good[:place]
                + bytes([good[place] ^ 1 << generator.randrange(8)])
                + (good[place + 1 :])
            )
        case "wrongly keyed":
            keys = derive_keys(b"another secret", "grid")
            return DatagramSealer(keys, node_id(2)).seal(random_message(generator))
        case "other cluster":
            keys = derive_keys(SECRET, "annexe")
            return DatagramSealer(keys, node_id(2)).seal(random_message(generator))
        case _:
            raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("random", {"not_ours"}),
        ("oversized", {"not_ours"}),
        ("lengthened", {"forged"}),
        ("truncated", {"not_ours", "forged"}),
        ("flipped", {"not_ours", "other_cluster", "other_secret", "forged"}),
        ("wrongly keyed", {"other_secret"}),
        ("other cluster", {"other_cluster"}),
    ],
)
def test_hostile_datagrams_are_counted_and_change_nothing(
    target: Target, name: str, reasons: set[str]
) -> None:
    generator, before = Random(7), target.view()
    for _ in range(100):
        target.hear(refused(name, generator))
    assert set(target.port.rejected) <= reasons
    assert target.port.rejected.total() == 100
    assert (target.view(), target.received) == (before, [])
    assert target.is_answering()


def test_replayed_datagrams_are_counted_and_change_nothing(target: Target) -> None:
    news = record(9, Address("127.0.0.1", 9))
    datagram = target.sealer.seal(encode(Gossip(REPORT, [news])))
    target.hear(datagram)
    assert news in target.view()
    before = target.view()
    for _ in range(50):
        target.hear(datagram)
    assert target.port.rejected == {"replayed": 50}
    assert (target.view(), len(target.received)) == (before, 1)


def test_recording_of_a_stranger_is_opened_but_not_believed(target: Target) -> None:
    before = target.view()
    news = [record(9, Address("127.0.0.1", 9))]
    target.hear(DatagramSealer(KEYS, node_id(8)).seal(encode(Gossip(REPORT, news))))
    assert (target.view(), len(target.received)) == (before, 1)
    assert target.port.rejected == {}


def garbage(generator: Random) -> bytes:
    body = random_message(generator)
    match generator.randrange(4):
        case 0:
            return generator.randbytes(generator.randrange(1, 400))
        case 1:
            return body[: generator.randrange(len(body))]
        case 2:
            return body + generator.randbytes(generator.randrange(1, 60_000))
        case _:
            wrong: tuple[object, ...] = (None, "text", 1.5, [[]], {})
            fields = [generator.choice(wrong) for _ in range(4)]
            return msgspec.msgpack.encode([generator.randrange(12), *fields])


def test_garbage_under_the_right_key_is_counted_and_changes_nothing(target: Target) -> None:
    generator, before = Random(11), target.view()
    for _ in range(300):
        target.hear(target.sealer.seal(garbage(generator)))
    assert target.port.rejected == {"undecodable": 300}
    assert (target.view(), target.received) == (before, [])
    assert target.is_answering()


def test_own_datagrams_that_come_back_are_dropped_silently(target: Target) -> None:
    own = DatagramSealer(KEYS, node_id(1))
    target.hear(own.seal(encode(Beacon(record(1, target.address), 1, REPORT))))
    assert (target.received, target.port.rejected) == ([], {})


IMPOSSIBLE: dict[str, dict[str, object]] = {
    "port beyond all ports": {"port": 70_000},
    "negative port": {"port": -1},
    "no address": {"hosts": ()},
    "address with a zero byte": {"hosts": ("127.0.0.1\x00",)},
    "address that is no host": {"hosts": ("\N{GRINNING FACE}" * 64,)},
    "short boot id": {"id": b"short"},
    "name that fits no datagram": {"name": "x" * 3_000},
    "incarnation without a successor": {"incarnation": 2**64 - 1},
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("subject", [1, 2, 9], ids=["of oneself", "of the sender", "of a newcomer"])
def test_impossible_records_of_a_member_do_not_stop_the_node(
    target: Target, name: str, subject: int
) -> None:
    """A faulty member may say anything; this node must go on pinging and answering."""
    address = target.address if subject == 1 else Address(*target.member.getsockname())
    claim = msgspec.structs.replace(
        record(subject, address), state=MemberState.SUSPECT, incarnation=1, accuser=node_id(2)
    )
    target.say(Gossip(REPORT, [msgspec.structs.replace(claim, **IMPOSSIBLE[name])]))
    for _ in range(12):
        timers = target.perform(target.plane.handle_timer("swim-period"))
        for timer in [timer for timer in timers if timer != "swim-period"]:
            target.perform(target.plane.handle_timer(timer))
    assert target.is_answering()


# -- what is said about strangers -----------------------------------------------------------------


def stranger(number: int, *, secret: bytes = b"another secret", name: str = "grid") -> bytes:
    return DatagramSealer(derive_keys(secret, name), node_id(number)).seal(b"")


def test_stranger_is_mentioned_once_per_host_and_once_per_boot_id(
    target: Target, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    here, there, elsewhere = (udp_socket(stack, f"127.0.0.{n}") for n in (2, 3, 4))
    target.hear(stranger(5), here)
    assert [line.getMessage() for line in caplog.records] == [
        f'node ignored host=127.0.0.2 reason="{datagrams.REASONS["other_secret"]}"'
    ]
    for _ in range(3):
        target.hear(stranger(5), here)
    target.hear(stranger(6), here)  # Another node of a host that is known.
    target.hear(stranger(5), there)  # A known node from another of its addresses.
    target.hear(stranger(6), elsewhere)
    assert len(caplog.records) == 1
    target.hear(stranger(7), udp_socket(stack, "127.0.0.5"))
    assert len(caplog.records) == 2
    assert target.port.rejected == {"other_secret": 8}


def test_each_reason_is_said_for_itself(
    target: Target, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    here = udp_socket(stack, "127.0.0.2")
    target.hear(stranger(5), here)
    target.hear(stranger(5, secret=SECRET, name="annexe"), here)
    said = [line.getMessage() for line in caplog.records]
    assert ["another secret" in text for text in said] == [True, False]
    assert "another cluster name" in said[1]


def test_noise_and_forgeries_are_not_worth_a_line(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    target.hear(b"noise")
    target.hear(DatagramSealer(KEYS, node_id(2)).seal(b"body")[:-1] + b"x")
    assert target.port.rejected == {"not_ours": 1, "forged": 1}
    assert caplog.records == []


def test_of_too_many_strangers_nothing_is_said_any_more(
    target: Target,
    stack: ExitStack,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert datagrams.STRANGERS_MAX == 1_000
    monkeypatch.setattr(datagrams, "STRANGERS_MAX", 4)
    for number in range(2, 12):
        target.hear(stranger(100 + number), udp_socket(stack, f"127.0.0.{number}"))
    assert len(caplog.records) == 2
    assert len(target.port._strangers) == 4
    assert target.port.rejected == {"other_secret": 10}


# -- sockets --------------------------------------------------------------------------------------


def test_drain_handles_everything_that_has_arrived(target: Target) -> None:
    for _ in range(100):
        target.member.sendto(target.sealer.seal(encode(Gossip(REPORT, []))), target.address)
    target.port.drain()
    assert len(target.received) == 100
    target.port.drain()
    assert len(target.received) == 100


def test_datagram_to_nowhere_is_lost_without_a_word(target: Target) -> None:
    target.port.send(Address("255.255.255.255", 9), Gossip(REPORT, []))
    target.port.send(Address("127.0.0.1", 0), Gossip(REPORT, []))


def test_port_reads_on_the_running_loop_until_it_stops(target: Target) -> None:
    async def scenario() -> None:
        heard = asyncio.Event()
        port = DatagramPort(
            target.udp, None, KEYS, node_id(1), lambda sender, source, message: heard.set()
        )
        port.start()
        target.member.sendto(target.sealer.seal(encode(Gossip(REPORT, []))), target.address)
        await asyncio.wait_for(heard.wait(), PATIENCE_S)
        port.stop()
        heard.clear()
        target.member.sendto(target.sealer.seal(encode(Gossip(REPORT, []))), target.address)
        port.drain()
        assert heard.is_set(), "what nobody has read still waits"

    asyncio.run(scenario())


def test_beacon_reaches_the_others_of_a_group_and_not_its_sender(stack: ExitStack) -> None:
    group = f"239.253.{random.SystemRandom().randrange(256)}.{random.SystemRandom().randrange(256)}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reservation:
        reservation.bind(("127.0.0.1", 0))
        group_port = reservation.getsockname()[1]
    heard: dict[int, list[MembershipMessage]] = {1: [], 2: []}
    ports = []
    for number in heard:
        sockets = MulticastSockets(group, group_port)
        sockets.refresh(["127.0.0.1"])
        stack.callback(sockets.close)
        inbox = heard[number]
        ports.append(
            DatagramPort(
                udp_socket(stack),
                sockets,
                KEYS,
                node_id(number),
                lambda sender, source, message, inbox=inbox: inbox.append(message),  # type: ignore[misc]
            )
        )
    beacon = Beacon(record(1, Address("127.0.0.1", 7701)), 1, REPORT)
    ports[0].send_to_group(beacon)
    for port in ports:
        port.drain()
    assert heard == {1: [], 2: [beacon]}
