"""Frames survive any cutting of the stream, and multiprocessing cuts them alike."""

from __future__ import annotations

import os
import random
from multiprocessing import Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.wire.frame import (
    FRAME_BYTES_MAX,
    HEADER_BYTES,
    READER_BYTES,
    FrameReader,
    frame,
)

from .framing import Frames
from .samples import THOROUGH

# Connection.send_bytes writes header and body apart beyond 16,384 bytes.
SIZES = (0, 1, 255, 16_383, 16_384, 16_385, 70_000)


@pytest.mark.parametrize("size", SIZES)
def test_what_multiprocessing_sends_is_a_frame(size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    near, far = Pipe()
    with near, far:
        near.send_bytes(body[:size])
        frames = Frames()
        received: list[bytes] = []
        while not received:
            received += frames.feed(os.read(far.fileno(), 65_536))
    assert received == [body[:size]]


@pytest.mark.parametrize("size", SIZES)
def test_multiprocessing_receives_a_frame(size: int) -> None:
    body = os.urandom(size)
    near, far = Pipe()
    with near, far:
        framed = frame(body)
        assert os.write(near.fileno(), framed) == len(framed)
        assert far.recv_bytes() == body
        assert not far.poll()


# -- the reader -------------------------------------------------------------------------------

EDGES = [READER_BYTES + more for more in (-2 * HEADER_BYTES, -5, -4, -3, -1, 0, 1, HEADER_BYTES)]
body_sizes = st.sampled_from([0, 1, 40, 30_000, *EDGES, 200_000]) | st.integers(0, 100)
steps = st.sampled_from([1, 3, 4, 5, 1_000, READER_BYTES - 1, READER_BYTES, 1_000_000])


def taken(reader: FrameReader, data: memoryview) -> int:
    """Put as much of `data` into the reader as it has space for; return how much."""
    space = reader.space()
    count = min(len(space), len(data))
    assert count or not data, "a reader that takes nothing looks like a connection's end"
    space[:count] = data[:count]
    reader.advance(count)
    return count


@given(st.lists(body_sizes, max_size=6), st.integers(0, READER_BYTES), st.lists(steps, min_size=1))
@THOROUGH
def test_reader_gives_the_same_frames_however_the_stream_is_cut(
    sizes: list[int], first: int, cuts: list[int]
) -> None:
    bodies = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    stream = b"".join(map(frame, bodies))
    reader = FrameReader(stream[:first])
    received = [bytes(body) for body in reader.bodies()]
    place, turn = min(first, len(stream)), 0
    while place < len(stream):
        # Byte by byte only for a while: some streams are long.
        step = cuts[turn % len(cuts)] if turn < 200 else READER_BYTES
        place += taken(reader, memoryview(stream)[place : place + step])
        received += [bytes(body) for body in reader.bodies()]
        turn += 1
    assert received == bodies
    assert reader.is_empty


def test_reader_is_empty_only_between_frames() -> None:
    reader = FrameReader()
    seen = [reader.is_empty]
    for data in (frame(b"whole") + b"\x00", b"\x00\x00\x02a", b"b", frame(bytes(READER_BYTES))[:9]):
        assert taken(reader, memoryview(data)) == len(data)
        seen.append(reader.is_empty)
        list(reader.bodies())
        seen.append(reader.is_empty)
    assert seen == [True, False, False, False, False, False, True, False, False]


def test_large_body_is_received_where_it_stays() -> None:
    reader = FrameReader(frame(bytes(200_000))[:10])
    assert list(reader.bodies()) == []
    space = reader.space()
    assert len(space) == 200_000 - 6
    space[:] = b"x" * len(space)
    reader.advance(len(space))
    (body,) = reader.bodies()
    assert body.obj is space.obj
    assert isinstance(body.obj, bytearray)
    assert len(body.obj) == 200_000


def test_large_body_outlives_what_is_received_after_it() -> None:
    reader = FrameReader()
    stream = memoryview(frame(b"x" * 200_000) + frame(b"y" * 200_000) + frame(b"z" * 50_000))
    bodies: list[memoryview] = []
    while stream:
        stream = stream[taken(reader, stream) :]
        bodies += reader.bodies()
    assert [bytes(body[:1]) * len(body) == bytes(body) for body in bodies] == [True] * 3


def test_reader_with_a_smaller_buffer_gives_larger_bodies_their_own() -> None:
    reader = FrameReader(buffer_bytes=100)
    stream = memoryview(frame(b"s" * 96) + frame(b"l" * 97))
    bodies: list[memoryview] = []
    while stream:
        stream = stream[taken(reader, stream) :]
        bodies += [memoryview(bytes(body)) if len(body) == 96 else body for body in reader.bodies()]
    assert [bytes(body) for body in bodies] == [b"s" * 96, b"l" * 97]
    assert isinstance(bodies[1].obj, bytearray)
    assert len(reader.space()) == 100


def test_small_bodies_are_views_on_the_readers_one_buffer() -> None:
    reader = FrameReader(frame(b"one") + frame(b"two"))
    one, two = reader.bodies()
    assert one.obj is two.obj is reader.space().obj
    assert len(reader.space()) == READER_BYTES


@pytest.mark.parametrize("length", [9, READER_BYTES + 1, 2**32 - 1])
def test_reader_refuses_a_length_beyond_the_bound_before_anything_is_reserved(length: int) -> None:
    reader = FrameReader(frame(b"8 is all") + length.to_bytes(HEADER_BYTES, "big"), 8)
    bodies = reader.bodies()
    assert bytes(next(bodies)) == b"8 is all"
    with pytest.raises(ProtocolError, match=f"frame of {length} bytes exceeds the 8"):
        next(bodies)
    assert len(reader.space()) <= READER_BYTES


def test_readers_default_bound_is_that_of_frames() -> None:
    assert list(FrameReader(FRAME_BYTES_MAX.to_bytes(HEADER_BYTES, "big")).bodies()) == []
    with pytest.raises(ProtocolError):
        list(FrameReader((FRAME_BYTES_MAX + 1).to_bytes(HEADER_BYTES, "big")).bodies())
