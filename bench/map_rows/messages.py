"""What our messages cost on the wire and in time, against the json module."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import msgspec

from bench.map_rows.run import OURS, Run, key_of, row_of
from bench.measure import Row, interleaved, microseconds_per_call
from grid.membership.messages import MemberRecord, MemberState, Ping
from grid.storage.messages import Found, Get, Put
from grid.wire.catalog import (
    decode_membership,
    decode_storage_reply,
    decode_storage_request,
    encode,
)

JSON = "json"
SIZE_TARGET = 2.0
"""At least 50 % smaller."""
TIME_TARGET = 3.0


def typical() -> list[tuple[Any, Callable[[bytes], object]]]:
    """Return messages as they travel most, each with the decoder of its conversation."""
    source = random.Random(1)
    key = b"s" + key_of(123_456).encode()
    value = b"\0" + source.randbytes(100)
    member = MemberRecord(
        id=source.randbytes(16),
        name="workshop-2",
        hosts=("192.168.1.17",),
        port=7701,
        pid=41_322,
        storage_processes=4,
        workers=8,
        incarnation=3,
        state=MemberState.ALIVE,
    )
    return [
        (Get(70_001, "users", 77, 12, key), decode_storage_request),
        (Found(70_001, value), decode_storage_reply),
        (Put(70_002, "users", 77, 12, key, value), decode_storage_request),
        (Ping(8_001, source.randbytes(12), [member]), decode_membership),
    ]


def plain(content: Any) -> Any:
    """Return the same content for the json module: named fields, bytes as base64 text."""
    if isinstance(content, msgspec.Struct):
        fields = {name: plain(getattr(content, name)) for name in content.__struct_fields__}
        return {"type": type(content).__name__, **fields}
    if isinstance(content, bytes):
        return base64.b64encode(content).decode()
    if isinstance(content, list | tuple):
        return [plain(part) for part in content]
    return content


def message_rows(run: Run) -> list[Row]:
    """Size and time of all of them together.

    Building the dict and turning base64 into bytes is not counted: json has it easier here
    than in use.
    """
    messages = typical()
    texts = [plain(message) for message, _ in messages]
    own_sizes = [len(encode(message)) for message, _ in messages]
    json_sizes = [len(json.dumps(text)) for text in texts]
    for (message, decode), own, other in zip(messages, own_sizes, json_sizes, strict=True):
        assert decode(encode(message)) == message
        run.say(f"{type(message).__name__}: {own} B, as JSON {other} B")

    def ours() -> None:
        for message, decode in messages:
            decode(encode(message))

    def theirs() -> None:
        for text in texts:
            json.loads(json.dumps(text).encode())

    calls = run.size.calls * 5
    figures = {
        OURS: lambda: microseconds_per_call(ours, calls),
        JSON: lambda: microseconds_per_call(theirs, calls),
    }
    count = len(messages)
    run.say(f"{count} messages: encode and decode")
    return [
        row_of(
            f"{count} typical messages: size",
            {OURS: [sum(own_sizes)], JSON: [sum(json_sizes)]},
            unit="B",
            target=SIZE_TARGET,
            rival=JSON,
        ),
        row_of(
            f"{count} typical messages: encode and decode",
            interleaved(figures, run.size.rounds),
            target=TIME_TARGET,
            rival=JSON,
        ),
    ]
