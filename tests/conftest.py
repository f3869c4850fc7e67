"""What holds for all tests."""

import gc


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay: the collector need not visit them again and again."""
    gc.collect()
    gc.freeze()
