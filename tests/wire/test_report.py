"""What a node reports of itself rides on every datagram; unknown bytes are no report."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.types import NO_TABLE, TableStamp
from grid.wire.report import NodeReport, decode_report, encode_report

from .samples import REPEATABLE, WORST_REPORT, message_of

REPORT = NodeReport(TableStamp(2, b"c" * 16, 9), 12.5, 40.25, 1_000_000, 3, 8, 70_000, 900, 20, 0)


def test_every_report_round_trips() -> None:
    generator = random.Random(1)
    for _ in range(200):
        report = message_of(NodeReport, generator)
        assert decode_report(encode_report(report)) == report


def test_stamp_comes_back_as_one() -> None:
    decoded = decode_report(encode_report(REPORT))
    assert decoded is not None
    assert type(decoded.stamp) is TableStamp
    assert decoded.stamp.supersedes(NO_TABLE)


def test_report_of_a_new_node_is_all_zeros() -> None:
    assert decode_report(encode_report(NodeReport())) == NodeReport(NO_TABLE, 0.0, 0.0, *[0] * 7)


def test_report_is_about_70_bytes_and_never_much_more() -> None:
    assert 40 <= len(encode_report(REPORT)) <= 80
    assert len(encode_report(WORST_REPORT)) <= 163


@given(st.binary(max_size=80))
@REPEATABLE
def test_random_bytes_are_no_report_and_raise_nothing(data: bytes) -> None:
    assert decode_report(data) is None or isinstance(decode_report(data), NodeReport)


@pytest.mark.parametrize("length", range(len(encode_report(REPORT))))
def test_cut_report_is_none(length: int) -> None:
    assert decode_report(encode_report(REPORT)[:length]) is None


@pytest.mark.parametrize(
    "document",
    [None, [], {"stamp": 1}, [[1, b"c"], 0.0], [[1, "text", 2]], [[1, b"c", 2], "busy"], "report"],
)
def test_document_of_another_shape_is_none(document: object) -> None:
    data = msgspec.msgpack.encode(document)
    assert (decode_report(data) == NodeReport()) if document == [] else decode_report(data) is None


def test_a_report_nested_beyond_reason_is_none():
    deep = b"\x98" + encode_report(NodeReport())[1:] + b"\x91" * 2000 + b"\x01"
    assert decode_report(deep) is None
