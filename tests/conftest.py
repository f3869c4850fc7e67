"""What holds for all tests."""

import gc

ALLOCATIONS = 50_000
"""Between two visits of the collector; a simulation makes many short-lived objects, few cycles."""


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay: the collector need not visit them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS)
