"""Who has which bundle."""

from __future__ import annotations

from grid.executor.bundles import SHIPPED_MAX, Code, Shelf, Shipments, code_of
from grid.executor.messages import ShipCode

from .samples import node


def test_equal_bundles_have_equal_digests() -> None:
    assert code_of(b"modules") == code_of(bytes(bytearray(b"modules")))
    assert code_of(b"modules").digest != code_of(b"modules!").digest


def test_shelf_drops_the_longest_unused_beyond_its_number() -> None:
    shelf: Shelf[str, str] = Shelf(count_max=2)
    shelf.put("a", "A", 1)
    shelf.put("b", "B", 1)
    assert shelf.get("a") == "A"
    shelf.put("c", "C", 1)
    assert [shelf.get(key) for key in "abc"] == ["A", None, "C"]


def test_shelf_drops_as_many_as_its_size_demands() -> None:
    shelf: Shelf[str, str] = Shelf(bytes_max=10)
    for key in "abc":
        shelf.put(key, key, 3)
    shelf.put("d", "d", 7)
    assert [shelf.get(key) for key in "abcd"] == [None, None, "c", "d"]
    shelf.put("e", "e", 11)
    assert len(shelf) == 0


def test_what_is_put_again_counts_once() -> None:
    shelf: Shelf[str, str] = Shelf(bytes_max=10)
    for size in (10, 8, 4):
        shelf.put("a", str(size), size)
    shelf.put("b", "b", 6)
    assert (shelf.get("a"), shelf.get("b")) == ("4", "b")


def test_bundle_is_sent_once_for_all_tasks_that_went_out_before_it() -> None:
    shipments, code = Shipments(), Code(b"digest", b"bundle")
    assert shipments.last(node(1), code) == 0
    assert shipments.missing(node(1), code, 0) == [ShipCode(b"bundle")]
    assert shipments.missing(node(1), code, 0) == []
    assert shipments.last(node(1), code) == 1
    assert shipments.last(node(2), code) == 0


def test_bundle_that_a_node_has_dropped_is_sent_again() -> None:
    shipments, code = Shipments(), Code(b"digest", b"bundle")
    shipments.missing(node(1), code, 0)
    assert shipments.missing(node(1), code, 1) == [ShipCode(b"bundle")]
    assert shipments.last(node(1), code) == 2


def test_node_that_was_lost_gets_everything_anew() -> None:
    shipments, code = Shipments(), Code(b"digest", b"bundle")
    shipments.missing(node(1), code, 0)
    shipments.forget(node(1))
    assert shipments.missing(node(1), code, 0) == [ShipCode(b"bundle")]


def test_memory_of_shipments_is_bounded() -> None:
    shipments = Shipments()
    codes = [code_of(b"%d" % number) for number in range(SHIPPED_MAX + 1)]
    for code in codes:
        shipments.missing(node(1), code, 0)
    assert sum(shipments.last(node(1), code) > 0 for code in codes) <= SHIPPED_MAX
    assert shipments.last(node(1), codes[-1]) == 1
