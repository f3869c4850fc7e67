"""Every message of every conversation round-trips, and anything else is a ProtocolError."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.executor import messages as executor_messages
from grid.executor.messages import (
    FromWorker,
    Outcome,
    RunTask,
    TaskEnded,
    TaskReply,
    TaskRequest,
    ToWorker,
    WorkerResult,
    WorkerTask,
    WorkWanted,
)
from grid.executor.names import NAME_MAX
from grid.membership import messages as membership_messages
from grid.membership.dissemination import Dissemination
from grid.membership.messages import Beacon, MembershipMessage, Ping, PingReq, PushPull
from grid.partition import messages as partition_messages
from grid.partition.messages import PartitionMessage, Publish
from grid.storage import messages as storage_messages
from grid.storage.messages import StorageReply, StorageRequest
from grid.types import NodeId
from grid.wire import control, family
from grid.wire.catalog import (
    decode_client_request,
    decode_peer,
    decode_storage_request,
    encode,
    encode_in_pieces,
    pieces_of,
)
from grid.wire.datagram import DATAGRAM_BYTES_MAX, DatagramSealer
from grid.wire.report import encode_report
from grid.wire.security import derive_keys

from .samples import (
    DECODERS,
    REPEATABLE,
    WORST_RECORD,
    WORST_REPORT,
    members_of,
    message_of,
    table_of,
    usual_record,
)

CONVERSATIONS: dict[str, Any] = {
    "decode_membership": MembershipMessage,
    "decode_exchange": PushPull,
    "decode_peer": PartitionMessage | WorkWanted,
    "decode_client_request": control.ControlRequest | TaskRequest,
    "decode_client_reply": control.ControlReply | TaskReply,
    "decode_storage_request": StorageRequest,
    "decode_storage_reply": StorageReply,
    "decode_to_worker": ToWorker,
    "decode_from_worker": FromWorker,
    "decode_supervisor_to_network": family.SupervisorToNetwork,
    "decode_network_to_supervisor": family.NetworkToSupervisor,
    "decode_supervisor_to_launcher": family.SupervisorToLauncher,
    "decode_network_to_storage": family.NetworkToStorage,
    "decode_storage_to_network": family.StorageToNetwork,
}
MESSAGES = [
    pytest.param(name, kind, id=f"{name}-{kind.__name__}")
    for name, union in CONVERSATIONS.items()
    for kind in members_of(union)
]
MODULES = (
    executor_messages,
    membership_messages,
    partition_messages,
    storage_messages,
    control,
    family,
)


def tagged_structs(module: ModuleType) -> set[type]:
    return {
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__struct_config__.tag is not None
    }


def check_answer(name: str, data: bytes) -> None:
    """Whatever the bytes are: a message of this conversation or a ProtocolError."""
    try:
        message = DECODERS[name](data)
    except ProtocolError:
        return
    assert isinstance(message, members_of(CONVERSATIONS[name]))


def test_this_file_knows_every_decoder() -> None:
    assert CONVERSATIONS.keys() == DECODERS.keys()


def test_every_tagged_message_belongs_to_a_conversation() -> None:
    known = {kind for union in CONVERSATIONS.values() for kind in members_of(union)}
    written = set().union(*(tagged_structs(module) for module in MODULES))
    assert len(written) > 40
    assert written - known == set()


@pytest.mark.parametrize(("name", "kind"), MESSAGES)
def test_every_message_round_trips(name: str, kind: type) -> None:
    generator = random.Random(1)
    for _ in range(50):
        message = message_of(kind, generator)
        decoded = DECODERS[name](encode(message))
        assert decoded == message
        assert type(decoded) is kind


@pytest.mark.parametrize(("name", "kind"), MESSAGES)
def test_every_cut_or_lengthened_message_is_refused(name: str, kind: type) -> None:
    encoded = encode(message_of(kind, random.Random(2)))
    for wrong in (encoded + b"\x00", *(encoded[:length] for length in range(len(encoded)))):
        with pytest.raises(ProtocolError):
            DECODERS[name](wrong)


@pytest.mark.parametrize("name", CONVERSATIONS)
@given(data=st.binary(max_size=60))
@REPEATABLE
def test_random_bytes_raise_nothing_but_protocol_errors(name: str, data: bytes) -> None:
    check_answer(name, data)


@pytest.mark.parametrize(("name", "kind"), MESSAGES)
def test_damaged_messages_raise_nothing_but_protocol_errors(name: str, kind: type) -> None:
    generator = random.Random(3)
    for _ in range(200):
        encoded = bytearray(encode(message_of(kind, generator)))
        for _ in range(generator.randrange(1, 4)):
            # The first bytes say what the rest is; damage there is the most dangerous.
            place = generator.randrange(min(len(encoded), generator.choice((4, 30, 1_000))))
            encoded[place] = generator.randrange(256)
        check_answer(name, bytes(encoded))


def any_fields(generator: random.Random, depth: int) -> list[Any]:
    """Return up to six fields of any type, lists within lists among them."""
    plain = [None, True, -1, 0, 1, 7, 2**63, 2**64 - 1, -(2**63), 0.5, "", "text", b"", b"id"]
    fields: list[Any] = generator.choices(plain, k=generator.randrange(7))
    if depth:
        fields.insert(generator.randrange(len(fields) + 1), any_fields(generator, depth - 1))
        fields.append({generator.randrange(3): generator.choice(plain)})
    return fields


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_wrong_fields_raise_nothing_but_protocol_errors(name: str) -> None:
    generator = random.Random(name)
    for _ in range(500):
        fields = [generator.randrange(22), *any_fields(generator, generator.randrange(3))]
        check_answer(name, msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 100_000,
        b"\x93\x01" + b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x93\x04\x01\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ],
    ids=["nested", "nested field", "long array", "long field", "long bytes"],
)
def test_malicious_bytes_raise_nothing_but_protocol_errors(name: str, data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"not a .* message: "):
        DECODERS[name](data)


@pytest.mark.parametrize(("name", "kind"), MESSAGES)
def test_field_of_a_newer_version_is_skipped_unless_it_is_nested_too_deep(
    name: str, kind: type
) -> None:
    message = message_of(kind, random.Random(4))
    encoded = encode(message)
    # A short array says its length in the lower half of its first byte.
    longer = bytes((encoded[0] + 1,)) + encoded[1:]
    assert DECODERS[name](longer + b"\x91" * 20 + b"\x01") == message
    with pytest.raises(ProtocolError):
        DECODERS[name](longer + b"\x91" * 100_000 + b"\x01")


def test_text_that_is_no_utf_8_is_refused() -> None:
    good = encode(storage_messages.Get(1, "shelf", 2, 3, b"key"))
    assert isinstance(DECODERS["decode_storage_request"](good), storage_messages.Get)
    with pytest.raises(ProtocolError):
        DECODERS["decode_storage_request"](good.replace(b"shelf", b"sh\xfflf"))


def put_if(value: bytes) -> storage_messages.PutIf:
    always = storage_messages.Condition.ALWAYS
    return storage_messages.PutIf(1, "shelf", 2, 3, b"key", always, b"", 5, memoryview(value))


@pytest.mark.parametrize("size", [0, 1, 255, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("start", [b"", b"\x00", b"\x02" * 255])
def test_message_in_pieces_is_the_message_and_its_payload_is_not_copied(
    start: bytes, size: int
) -> None:
    payload = random.Random(size).randbytes(size)
    head, rest = encode_in_pieces(put_if(start), payload)
    assert rest is payload
    whole = put_if(start + payload)
    assert decode_storage_request(head + rest) == whole
    if len(start) + size > 65_535:  # Below, msgpack says the length in fewer bytes.
        assert head + rest == encode(whole)


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
@pytest.mark.parametrize(
    "message",
    [
        RunTask(1, 2, 3, 4, may_move=False),
        TaskEnded(1, 2, Outcome.RETURNED, 5),
        WorkerTask(1),
        WorkerResult(1, Outcome.RAISED),
    ],
)
def test_tasks_payload_is_not_copied_into_the_message(message: Any, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    whole = msgspec.structs.replace(message, payload=payload)
    pieces = pieces_of(whole)
    assert b"".join(pieces) == encode(whole)
    assert (pieces[-1] is payload) == (size > 65_536)
    received = bytearray(b"".join(pieces))
    decoded = msgspec.msgpack.decode(received, type=type(message))
    assert decoded == whole
    assert decoded.payload.obj is received


def test_name_of_a_function_has_a_bound() -> None:
    named = RunTask(1, 1, function="x" * NAME_MAX, payload=b"call")
    assert decode_client_request(encode(named)) == named
    longer = msgspec.structs.replace(named, function="x" * (NAME_MAX + 1))
    with pytest.raises(ProtocolError, match="length <= 40"):
        decode_client_request(encode(longer))


def test_large_values_are_views_on_what_was_received() -> None:
    received = bytearray(encode(put_if(b"value")))
    message = decode_storage_request(memoryview(received))
    assert isinstance(message, storage_messages.PutIf)
    assert bytes(message.value) == b"value"
    received[-1:] = b"E"
    assert bytes(message.value) == b"valuE"


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_message_of_another_version_with_an_unknown_tag_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        DECODERS[name](msgspec.msgpack.encode([99, 1, 2, 3]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("primaries", (0,) * 255),
        ("epochs", (1,) * 257),
        ("primaries", (5,) + (0,) * 255),
        ("primaries", (-2,) + (0,) * 255),
    ],
)
def test_table_that_does_not_fit_together_is_refused(field: str, value: tuple[int, ...]) -> None:
    fields = msgspec.structs.asdict(table_of(3)) | {"order": (b"a", b"b"), "epochs": (1,) * 256}
    fields |= {"primaries": (0,) * 256} | {field: value}
    with pytest.raises(ProtocolError, match="table"):
        decode_peer(msgspec.msgpack.encode([15, list(fields.values())]))


def test_table_that_fits_is_accepted() -> None:
    table = table_of(3)
    body = msgspec.msgpack.encode([15, list(msgspec.structs.asdict(table).values())])
    assert decode_peer(body) == Publish(table)


# -- sizes ------------------------------------------------------------------------------------


def sealed_bytes(message: MembershipMessage) -> int:
    sealer = DatagramSealer(derive_keys(b"secret", "grid"), NodeId(bytes(16)))
    return len(sealer.seal(encode(message)))


def piggyback(make: Callable[[int], membership_messages.MemberRecord]) -> list[Any]:
    queue = Dissemination()
    for number in range(100):
        queue.add(make(number))
    return queue.take(100)


def worst_record(number: int) -> membership_messages.MemberRecord:
    return msgspec.structs.replace(WORST_RECORD, id=number.to_bytes(16, "big"))


def mixed_record(number: int) -> membership_messages.MemberRecord:
    return worst_record(number) if number % 3 == 0 else usual_record(number)


@pytest.mark.parametrize("make", [usual_record, worst_record, mixed_record])
def test_ping_with_full_piggyback_fits_one_datagram(
    make: Callable[[int], membership_messages.MemberRecord],
) -> None:
    updates = piggyback(make)
    assert updates
    report = encode_report(WORST_REPORT)
    longest = PingReq(2**64 - 1, bytes(16), 2**31, report, updates)
    for message in (Ping(2**64 - 1, report, updates), longest):
        assert sealed_bytes(message) <= DATAGRAM_BYTES_MAX


def test_beacon_of_the_longest_names_fits_one_datagram() -> None:
    assert (
        sealed_bytes(Beacon(WORST_RECORD, 5000, encode_report(WORST_REPORT))) <= DATAGRAM_BYTES_MAX
    )


def test_record_is_about_60_bytes_so_a_datagram_tells_of_many_members() -> None:
    assert 45 <= len(encode(usual_record(7))) <= 75
    assert len(piggyback(usual_record)) >= 12
