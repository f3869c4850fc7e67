"""What waits, by priority and then in order of arrival; anything may be taken out by its key."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lanes(Generic[K, V]):
    """One queue for each priority in use."""

    def __init__(self) -> None:
        """Start empty."""
        self._lanes: dict[int, OrderedDict[K, V]] = {}
        self._order: list[int] = []
        """Negated priorities of the lanes that are not empty: the highest comes first."""
        self._priorities: dict[K, int] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._priorities)

    def __iter__(self) -> Iterator[V]:
        """Yield all in the order in which `pop` would return them; not to be changed meanwhile."""
        for negated in self._order:
            yield from self._lanes[-negated].values()

    def push(self, key: K, item: V, priority: int = 0, *, at_front: bool = False) -> None:
        """Add an item behind those of its priority, or in front of them."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = OrderedDict()
            insort(self._order, -priority)
        lane[key] = item
        self._priorities[key] = priority
        if at_front:
            lane.move_to_end(key, last=False)

    @property
    def first(self) -> V:
        """The item that `pop` would return. Raises: IndexError when there is none."""
        return next(iter(self._lanes[-self._order[0]].values()))

    def pop(self) -> V:
        """Take out the first item. Raises: IndexError when there is none."""
        lane = self._lanes[-self._order[0]]
        key, item = lane.popitem(last=False)
        self._forget(key, lane)
        return item

    def remove(self, key: K) -> V | None:
        """Take out the item of this key, if there is one."""
        priority = self._priorities.get(key)
        if priority is None:
            return None
        lane = self._lanes[priority]
        item = lane.pop(key)
        self._forget(key, lane)
        return item

    def _forget(self, key: K, lane: OrderedDict[K, V]) -> None:
        priority = self._priorities.pop(key)
        if not lane:
            del self._lanes[priority]
            self._order.remove(-priority)
