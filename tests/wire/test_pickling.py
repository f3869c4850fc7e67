"""What pickle alone could not carry, and what cloudpickle would leave out."""

from __future__ import annotations

import sys
import traceback
from types import ModuleType

import cloudpickle
import pytest

from grid.errors import SerializationError
from grid.wire.pickling import dump, load


def test_dump_and_load_undo_each_other():
    assert load(memoryview(dump((len, (1,), {})))) == (len, (1,), {})


def test_a_function_made_in_a_function_travels_with_what_it_closes_over():
    base = 40

    def add(number: int) -> int:
        return base + number

    assert load(dump(add))(2) == 42


def test_the_main_module_of_a_spawned_process_travels_by_value(monkeypatch: pytest.MonkeyPatch):
    program = ModuleType("__mp_main__")
    exec("def double(n): return 2 * n\nclass Seat: number = 12", program.__dict__)
    with monkeypatch.context() as spawned:
        spawned.setitem(sys.modules, "__mp_main__", program)
        data = dump((program.double, program.Seat()))
        cloudpickle.unregister_pickle_by_value(program)
    double, seat = load(data)
    assert double(21) == 42
    assert seat.number == 12


def test_code_that_travels_by_value_keeps_its_file_and_line():
    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError) as caught:
        load(dump(fail))()
    frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.filename, frame.name) == (__file__, "fail")
    assert frame.line == 'raise KeyError("missing")'


def test_code_within_code_keeps_its_file_too():
    def outer():
        def inner():
            return None

        return inner

    assert load(dump(outer))().__code__.co_filename == __file__


def test_what_cannot_travel_is_named_by_its_type():
    with pytest.raises(SerializationError, match="a generator cannot be sent"):
        dump(letter for letter in "abc")
