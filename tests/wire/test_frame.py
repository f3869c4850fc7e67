"""Frames survive any cutting of the stream, and multiprocessing cuts them alike."""

from __future__ import annotations

import os
from multiprocessing import Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.wire.frame import FRAME_BYTES_MAX, HEADER_BYTES, FrameSplitter, frame

from .samples import THOROUGH

# Connection.send_bytes writes header and body apart beyond 16,384 bytes.
SIZES = (0, 1, 255, 16_383, 16_384, 16_385, 70_000)


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
@THOROUGH
def test_any_cutting_of_a_stream_gives_the_same_frames(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frame(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    splitter = FrameSplitter()
    received: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += splitter.feed(stream[start:end])
    assert received == bodies
    assert splitter.is_empty


def test_each_frame_is_yielded_with_its_last_byte() -> None:
    stream = frame(b"one") + frame(b"") + frame(b"three")
    splitter = FrameSplitter()
    seen = [len(list(splitter.feed(stream[at : at + 1]))) for at in range(len(stream))]
    assert [at for at, count in enumerate(seen) if count] == [6, 10, 19]
    assert sum(seen) == 3


def test_splitter_is_empty_only_between_frames() -> None:
    splitter = FrameSplitter()
    seen = [splitter.is_empty]
    for data in (frame(b"whole") + b"\x00", b"\x00\x00\x02a", b"b"):
        list(splitter.feed(data))
        seen.append(splitter.is_empty)
    assert seen == [True, False, False, True]


def test_memory_views_are_taken_as_they_are() -> None:
    framed = frame(b"body")
    assert framed == b"\x00\x00\x00\x04body"
    received = FrameSplitter().feed(memoryview(framed))
    assert list(received) == [b"body"]


def test_frame_of_exactly_the_bound_passes_and_one_byte_more_is_refused() -> None:
    splitter = FrameSplitter(frame_bytes_max=8)
    assert list(splitter.feed(frame(b"8" * 8))) == [b"8" * 8]
    with pytest.raises(ProtocolError, match="frame of 9 bytes exceeds the 8"):
        list(splitter.feed((9).to_bytes(HEADER_BYTES, "big")))


def test_frames_before_an_oversize_one_are_still_delivered() -> None:
    splitter = FrameSplitter(frame_bytes_max=8)
    bodies = splitter.feed(frame(b"fine") + frame(b"also") + frame(b"9 letters"))
    assert [next(bodies), next(bodies)] == [b"fine", b"also"]
    with pytest.raises(ProtocolError):
        next(bodies)


def test_stream_stays_refused_after_an_oversize_frame() -> None:
    splitter = FrameSplitter(frame_bytes_max=8)
    for data in (b"\xff\xff\xff\xff", frame(b"fine")):
        with pytest.raises(ProtocolError):
            list(splitter.feed(data))


def test_default_bound_is_far_below_what_a_header_can_say() -> None:
    with pytest.raises(ProtocolError):
        list(FrameSplitter().feed((FRAME_BYTES_MAX + 1).to_bytes(HEADER_BYTES, "big")))
    assert list(FrameSplitter().feed(FRAME_BYTES_MAX.to_bytes(HEADER_BYTES, "big"))) == []


@pytest.mark.parametrize("size", SIZES)
def test_what_multiprocessing_sends_is_a_frame(size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    near, far = Pipe()
    with near, far:
        near.send_bytes(body[:size])
        splitter = FrameSplitter()
        received: list[bytes] = []
        while not received:
            received += splitter.feed(os.read(far.fileno(), 65_536))
    assert received == [body[:size]]
    assert splitter.is_empty


@pytest.mark.parametrize("size", SIZES)
def test_multiprocessing_receives_a_frame(size: int) -> None:
    body = os.urandom(size)
    near, far = Pipe()
    with near, far:
        framed = frame(body)
        assert os.write(near.fileno(), framed) == len(framed)
        assert far.recv_bytes() == body
        assert not far.poll()
