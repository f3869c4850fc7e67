"""A multicast group and port that no other test has."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tests.finding.fakes import LOOPBACK, Group


@pytest.fixture
def group() -> Iterator[Group]:
    number = os.getpid()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind((LOOPBACK, 0))
        name = f"239.253.{number >> 8 & 255}.{number & 255}"
        yield Group(name, reservation.getsockname()[1])
