"""When a task counts as waiting for tasks of its own."""

from __future__ import annotations

import time

import pytest

from grid.client.tasks import waiting
from grid.client.tasks.waiting import Waiting, Watch


class Scene:
    """A main thread whose CPU time, and a clock that, the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = self.cpu_s = 100.0
        self.told: list[bool] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)
        monkeypatch.setattr("time.clock_gettime", lambda clock: self.cpu_s)
        self.waiting = Waiting(self.told.append)

    def look(self, watch: Watch, *, busy_s: float, has_unfinished: bool = True) -> None:
        self.now_s += 1.01 * waiting.LOOK_INTERVAL_S
        self.cpu_s += busy_s
        watch.look(has_unfinished=has_unfinished)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_thread_with_unfinished_tasks_and_no_cpu_time_waits(scene: Scene) -> None:
    watch = Watch(scene.waiting)
    scene.look(watch, busy_s=0.04)
    assert scene.told == []
    scene.look(watch, busy_s=0.0)
    scene.look(watch, busy_s=0.0)
    assert scene.told == [True]
    scene.look(watch, busy_s=0.04)
    assert scene.told == [True, False]


def test_thread_without_unfinished_tasks_does_not_wait(scene: Scene) -> None:
    watch = Watch(scene.waiting)
    scene.look(watch, busy_s=0.0, has_unfinished=False)
    assert scene.told == []
    scene.look(watch, busy_s=0.0)
    scene.look(watch, busy_s=0.0, has_unfinished=False)
    assert scene.told == [True, False]


def test_looks_in_quick_succession_are_one(scene: Scene) -> None:
    watch = Watch(scene.waiting)
    scene.now_s += waiting.LOOK_INTERVAL_S / 2
    watch.look(has_unfinished=True)
    assert scene.told == []


def test_thread_waits_as_long_as_one_executor_says_so(scene: Scene) -> None:
    one, other = Watch(scene.waiting), Watch(scene.waiting)
    scene.look(one, busy_s=0.0)
    scene.look(other, busy_s=0.0)
    scene.look(one, busy_s=0.0, has_unfinished=False)
    assert scene.told == [True]
    scene.look(other, busy_s=0.0, has_unfinished=False)
    assert scene.told == [True, False]


def test_cpu_time_is_that_of_the_main_thread() -> None:
    seen = Waiting(lambda is_waiting: None)
    before_s = seen.cpu_s()
    while seen.cpu_s() <= before_s:
        pass
    assert 0 < seen.cpu_s() - before_s < time.process_time()
