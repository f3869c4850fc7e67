"""A large map goes in and out a part at a time: neither side holds more than its entries."""

from __future__ import annotations

import json
import subprocess
import sys

ENTRIES = 1_000_000
VALUE_BYTES = 100
BEYOND_MIB = 64
"""What either side may take beyond the entries themselves."""

ENTRY_BYTES = 300
"""Of one entry in storage: key, record and their places in a dict that has just grown."""

PROGRAM = """
import json, psutil, sys, threading
import grid

ENTRIES, VALUE_BYTES = map(int, sys.argv[1:])
value = bytes(VALUE_BYTES)

def entries():
    for number in range(ENTRIES):
        yield f"key-{number:012}", value

class Peak(threading.Thread):
    '''The most memory that a process has had.'''
    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.ends = process, threading.Event()
        self.first = self.most = process.memory_info().rss
        self.start()
    def run(self):
        while not self.ends.wait(0.02):
            self.most = max(self.most, self.process.memory_info().rss)
    def grown(self):
        self.ends.set()
        self.join()
        return self.most - self.first

with grid.local(nodes=1, workers=1, storage_processes=1) as g:
    users = g.map("users")
    users.put_all({"warm": value})
    list(users.items()), users.clear()
    supervisor = psutil.Process(g.status()["members"][0]["pid"])
    (storage,) = [p for p in supervisor.children(True) if p.name().startswith("grid-storage")]

    own, others = Peak(psutil.Process()), Peak(storage)
    users.put_all(entries())
    filled = own.grown(), others.grown()

    own, others = Peak(psutil.Process()), Peak(storage)
    count = total = 0
    for key, found in users.items():
        count, total = count + 1, total + len(found)
    read = own.grown(), others.grown()

    own, others = Peak(psutil.Process()), Peak(storage)
    keys = sum(1 for _ in users)
    read_keys = own.grown(), others.grown()
    print(json.dumps([count, total, keys, len(users), filled, read, read_keys]))
"""


def test_a_million_entries_are_filled_in_and_read_in_constant_memory():
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ENTRIES), str(VALUE_BYTES)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    count, total, keys, size, filled, read, read_keys = json.loads(finished.stdout)
    assert count == keys == size == ENTRIES
    assert total == ENTRIES * VALUE_BYTES
    beyond = BEYOND_MIB * 1024 * 1024
    assert filled[0] < beyond
    assert filled[1] < ENTRIES * ENTRY_BYTES + beyond
    for own, others in (read, read_keys):
        assert own < beyond
        assert others < beyond
