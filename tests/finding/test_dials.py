"""Many addresses tried at once; 127.0.0.0/8 is full of addresses where nobody answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from grid.finding.dials import QUEUE_MAX, Dials
from grid.types import Address
from tests.finding.fakes import nobody, silent_node
from tests.transport.servers import PATIENCE_S


@pytest.fixture(name="dials")
def fixture_dials() -> Iterator[Dials]:
    with closing(Dials()) as dials:
        yield dials


@pytest.fixture(name="stack")
def fixture_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def outcomes_of(dials: Dials) -> dict[Address, str]:
    """Wait until something is known of every address."""
    found: dict[Address, str] = {}
    end_s = time.monotonic() + PATIENCE_S
    while dials.unanswered:
        assert time.monotonic() < end_s
        found.update(dials.wait(PATIENCE_S))
    return found


def test_each_address_ends_with_an_answer_or_a_reason(dials: Dials, stack: ExitStack) -> None:
    here, absent = stack.enter_context(silent_node()), stack.enter_context(nobody())
    no_name = Address("x" * 100, 7701)
    for address in (absent, no_name, here):
        dials.add(address)
    outcomes = outcomes_of(dials)
    assert outcomes[here] == ""
    assert outcomes[absent] == "Connection refused"
    assert outcomes[no_name]


def test_an_address_under_way_is_not_tried_twice_but_may_be_later(
    dials: Dials, stack: ExitStack
) -> None:
    absent = stack.enter_context(nobody())
    dials.add(absent)
    dials.add(absent)
    assert dials.unanswered == [absent]
    assert dials.wait(PATIENCE_S) == [(absent, "Connection refused")]
    dials.add(absent)
    assert dials.unanswered == [absent]


def test_a_silent_address_does_not_delay_the_next(dials: Dials, stack: ExitStack) -> None:
    black_hole = stack.enter_context(full_queue())
    here = stack.enter_context(silent_node())
    dials.add(black_hole)
    dials.add(here)
    assert dials.wait(PATIENCE_S) == [(here, "")]
    assert dials.unanswered == [black_hole]


@contextmanager
def full_queue() -> Iterator[Address]:
    """Yield an address whose listener takes no connection any more: further ones hang."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield Address(*listener.getsockname())


def test_where_the_first_answers_nobody_else_is_bothered(
    dials: Dials, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.finding.dials.STAGGER_S", PATIENCE_S)
    first, second = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in "12")
    second.setblocking(False)
    for listener in (first, second):
        dials.add(Address(*listener.getsockname()))
    assert dials.wait(PATIENCE_S) == [(Address(*first.getsockname()), "")]
    dials.close()
    with pytest.raises(BlockingIOError):
        second.accept()


def test_an_urgent_address_goes_first(dials: Dials, stack: ExitStack) -> None:
    addresses = [stack.enter_context(nobody()) for _ in range(3)]
    dials.add(addresses[0])
    dials.add(addresses[1])
    dials.add(addresses[2], is_urgent=True)
    assert dials.unanswered == [addresses[2], addresses[0], addresses[1]]


def test_the_queue_is_bounded(dials: Dials) -> None:
    for number in range(QUEUE_MAX + 10):
        dials.add(Address("127.0.0.1", number + 1))
    assert len(dials.unanswered) == QUEUE_MAX


def test_a_listener_with_something_to_read_ends_the_wait(stack: ExitStack) -> None:
    here, there = socket.socketpair()
    stack.enter_context(here)
    stack.enter_context(there)
    dials = stack.enter_context(closing(Dials(here)))
    there.send(b"x")
    assert dials.wait(PATIENCE_S) == []


def test_nothing_to_do_ends_with_the_time(dials: Dials) -> None:
    assert dials.wait(0.01) == []
