"""The figures of the speedup: medians of both kinds, whatever the order of luck."""

from __future__ import annotations

from grid.demo import speedup
from tests.demo.fakes import FakeBooks, FakeStage


def test_speedup_is_the_quotient_of_the_medians():
    stage = FakeStage()
    books = FakeBooks(serial_s=[39.0, 90.0, 38.0], parallel_s=[10.0, 9.0, 30.0])
    outcome = speedup.show(stage.real, books.real)
    assert outcome.passed
    figures = outcome.figures
    assert (figures["speedup"], figures["serial_s"], figures["parallel_s"]) == (3.9, 39.0, 10.0)
    assert (figures["hosts"], figures["quota"]) == (4, 0.3)
    assert stage.told.count("h1$ bin/grid bench --books 20") == 3


def test_too_slow_a_cluster_has_not_passed_nor_has_a_wrong_one():
    slow = FakeBooks(serial_s=[37.9] * 3, parallel_s=[10.0] * 3)
    assert not speedup.show(FakeStage().real, slow.real).passed
    wrong = FakeBooks(serial_s=[40.0] * 3, parallel_s=[10.0] * 3, is_equal=False)
    assert not speedup.show(FakeStage().real, wrong.real).passed


def test_what_is_wanted_grows_with_the_hosts():
    books = FakeBooks(serial_s=[19.0] * 3, parallel_s=[10.0] * 3)
    assert speedup.show(FakeStage(2).real, books.real).passed


def test_whether_the_driving_program_has_the_quota_is_told():
    for has_quota, word in ((True, "under"), (False, "outside")):
        stage = FakeStage()
        books = FakeBooks([40.0] * 3, [10.0] * 3, driver_has_quota=has_quota)
        outcome = speedup.show(stage.real, books.real)
        assert outcome.figures["driver_has_quota"] is has_quota
        assert f"runs on h1, {word} the quota" in stage.told
