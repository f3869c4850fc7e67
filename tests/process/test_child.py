"""What a child sheds of its supervisor; in an interpreter of its own."""

from __future__ import annotations

from tests.supervisor.fresh import run_fresh

PREAMBLE = """
import atexit, logging, os, signal, sys
from grid.process.child import reset_child

log_read, log_write = os.pipe()

def log():
    sys.stdout.flush(), sys.stderr.flush()
    os.set_blocking(log_read, False)
    return os.read(log_read, 100_000).decode()
"""


def test_standard_streams_are_the_log_and_nothing() -> None:
    script = """
reset_child("test", log_write)
assert sys.stdin.read() == "" and os.read(0, 1) == b""
print("to stdout", flush=True)
print("to stderr", file=sys.stderr, flush=True)
os.write(1, b"raw\\n")
assert log() == "to stdout\\nto stderr\\nraw\\n"
"""
    assert run_fresh(PREAMBLE + script) == ""


def test_text_that_cannot_be_encoded_does_no_harm() -> None:
    script = """
reset_child("test", log_write)
print("\\ud800")
assert log() == "?\\n"
"""
    run_fresh(PREAMBLE + script)


def test_signals_of_the_terminal_are_ignored_and_others_as_at_first() -> None:
    script = """
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
    signal.signal(number, lambda number, frame: None)
wake_read, wake_write = os.pipe()
os.set_blocking(wake_write, False)
signal.set_wakeup_fd(wake_write)
reset_child("test", log_write)
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGWINCH, signal.SIGPIPE):
    assert signal.getsignal(number) is signal.SIG_IGN, number
for number in (signal.SIGTERM, signal.SIGCHLD):
    assert signal.getsignal(number) is signal.SIG_DFL, number
assert signal.set_wakeup_fd(-1) == -1
"""
    run_fresh(PREAMBLE + script)


def test_exit_handlers_of_the_supervisor_are_forgotten() -> None:
    script = """
stdout = os.dup(1)
atexit.register(lambda: os.write(stdout, b"an exit handler"))
reset_child("test", log_write)
"""
    assert run_fresh(PREAMBLE + script) == ""


def test_log_records_have_their_level_in_front_and_come_once() -> None:
    script = """
logging.basicConfig(level=logging.DEBUG, format="supervisor's own: %(message)s")
reset_child("test", log_write)
logging.getLogger("grid.test").warning("the shelf is %s", "full")
logging.getLogger("grid.test").debug("not asked for")
assert log() == "WARNING the shelf is full\\n"
"""
    run_fresh(PREAMBLE + script)


def test_log_lines_of_events_are_marked_and_tracebacks_follow_their_line() -> None:
    script = """
from grid.process.child import EVENT_MARK, EVENTS_LOGGER
reset_child("test", log_write)
logging.getLogger(EVENTS_LOGGER).info("joined member=ann")
assert log() == f"INFO{EVENT_MARK} joined member=ann\\n"
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("grid.test").exception("it failed")
lines = log().splitlines()
assert lines[0] == "ERROR it failed" and lines[-1] == "ZeroDivisionError: division by zero"
"""
    run_fresh(PREAMBLE + script)


def test_process_is_named_in_listings_as_far_as_the_kernel_allows() -> None:
    script = """
reset_child("storage-12345678", log_write)
name = open("/proc/self/comm").read()
assert name == "grid-storage-12\\n", name
"""
    run_fresh(PREAMBLE + script)


def test_freed_memory_is_taken_again_without_page_faults() -> None:
    script = """
import resource
from grid.process.child import keep_freed_memory

def faults_of(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        bytes(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
faults_of(2)  # The first finds the pages zeroed, and touches none.
assert faults_of(10) < 1_000, "each of ten times 8 MB has 2,000 pages"
"""
    run_fresh(script)
