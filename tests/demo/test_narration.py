"""What a person reads: numbered steps, commands, progress also where there is no terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from grid.demo.figures import exactly
from grid.demo.narration import Narrator


def test_steps_count_anew_for_each_demonstration_and_commands_name_their_host():
    told = StringIO()
    narrator = Narrator(Console(file=told, width=40))
    for demo in ("formation", "rejoin"):
        narrator.begin(demo, "a sentence [1]")
        narrator.step("first")
        narrator.step("second")
    narrator.typed("h1", "bin/grid up --config /a/path/that/is/longer/than/a/line/of/the/terminal")
    narrator.seen("something")
    narrator.verdict(exactly("entries lost", 0, 0))
    assert told.getvalue().splitlines() == [
        "",
        "formation: a sentence [1]",
        "  1. first",
        "  2. second",
        "",
        "rejoin: a sentence [1]",
        "  1. first",
        "  2. second",
        "       h1$ bin/grid up --config /a/path/that/is/longer/than/a/line/of/the/terminal",
        "     > something",
        "  ok     entries lost: 0 (target: 0)",
    ]


def test_without_a_terminal_progress_is_a_few_lines():
    told = StringIO()
    with Narrator(Console(file=told)).progress("the books") as show:
        for done in range(1, 101):
            show(done, 100)
    assert told.getvalue().splitlines() == [
        "     . the books ...",
        *(f"     . the books: {done} of 100" for done in (25, 50, 75)),
    ]


def test_on_a_terminal_progress_is_a_bar_that_goes_away():
    told = StringIO()
    console = Console(file=told, force_terminal=True, width=80)
    with Narrator(console).progress("the books") as show:
        show(7, 30)
    assert "the books" in told.getvalue()
    assert "7/30" in told.getvalue()
