"""What the console knows and derives."""

from __future__ import annotations

import json

import pytest

from grid.console.model import EVENTS_MAX, ConsoleModel, decode, exposure, headline
from grid.errors import ProtocolError

from .samples import member, model, partitions, status, status_dict


def test_json_and_dict_decode_alike() -> None:
    """The supervisor has the dict, the command line the bytes."""
    source = status_dict(3)
    assert decode(json.dumps(source).encode()) == decode(source)


def test_unknown_keys_are_ignored() -> None:
    """An older console watches a newer node."""
    source = status_dict(1, members=[member(1, rss_bytes=1)], term=7)
    assert decode(source) == status(1)


def test_whole_cpu_percent_is_accepted() -> None:
    """JSON does not keep 40.0 and 40 apart."""
    assert status(1, members=[member(1, cpu_percent=40)]).members[0].cpu_percent == 40.0


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"cluster": "library"}, "members"),
        (status_dict(1, members=[member(1, state="tired")]), "state"),
        (b"{", "truncated"),
        (b'{"cluster": "\xff"}', "utf-8"),
    ],
)
def test_malformed_status_is_refused_naming_the_fault(
    source: bytes | dict[str, object], named: str
) -> None:
    """Input from outside raises, and says what was wrong."""
    with pytest.raises(ProtocolError, match=named):
        decode(source)


def test_members_are_sorted_by_name_with_numbers_as_numbers() -> None:
    """Twelve members read n1 .. n12."""
    shuffled = [member(number) for number in (10, 2, 12, 1)]
    names = [entry.name for entry in status(4, members=shuffled).members_by_name()]
    assert names == ["n1", "n2", "n10", "n12"]


def test_names_without_numbers_sort_beside_names_that_are_numbers() -> None:
    """No pair of names may be incomparable."""
    named = [member(number, name=name) for number, name in enumerate(["b", "7", "", "a1", "²"])]
    names = [entry.name for entry in status(5, members=named).members_by_name()]
    assert sorted(names) == sorted(["b", "7", "", "a1", "²"])
    assert names.index("a1") < names.index("b")


def test_first_update_has_no_rate() -> None:
    """One count is no speed."""
    console_model = ConsoleModel("a:1")
    console_model.update(status(4), 5.0)
    assert console_model.tasks_per_s == 0.0


def test_rate_comes_from_the_last_two_updates() -> None:
    """Four members finished 25 tasks each in ten seconds."""
    assert model(4).tasks_per_s == 10.0


def test_rate_survives_a_clock_that_stands_still() -> None:
    """Two updates at one instant divide by nothing."""
    console_model = model(4)
    console_model.update(status(4), 110.0)
    assert console_model.tasks_per_s == 0.0


def test_joining_and_vanishing_members_do_not_bend_the_rate() -> None:
    """A life's count of a newcomer is not the work of the last second."""
    console_model = ConsoleModel("a:1")
    console_model.update(status(2, members=[member(1), member(2)]), 0.0)
    busier = member(1, tasks={"queued": 0, "running": 0, "done": 1_234 + 6})
    console_model.update(status(2, members=[busier, member(3)]), 2.0)
    assert console_model.tasks_per_s == 3.0


def test_events_keep_their_order_and_forget_the_oldest() -> None:
    """The log is bounded."""
    console_model = ConsoleModel("a:1")
    for number in range(EVENTS_MAX + 5):
        console_model.add_event("12:00:00", "INFO", str(number))
    texts = [event.text for event in console_model.events]
    assert texts == [str(number) for number in range(5, EVENTS_MAX + 5)]


def test_event_text_becomes_one_harmless_line() -> None:
    """Neither a traceback nor an escape sequence reaches the terminal."""
    event = ConsoleModel("a:1").add_event("12:00:00", "ERROR", "died:\n  line 2\x1b[2J\tend")
    assert str(event) == "12:00:00 ERROR died: line 2 [2J end"


def test_headline_before_the_first_status_says_so() -> None:
    """Nothing known is not nothing wrong."""
    assert ConsoleModel("a:1").headline == ("Waiting for the first status.", "warning")


@pytest.mark.parametrize(
    ("states", "counts", "sentence", "severity"),
    [
        (["alive"], partitions(), "1 member alive; all 256 partitions are safe.", "good"),
        (["alive", "left"], partitions(), "1 member alive; all 256 partitions are safe.", "good"),
        (
            ["alive", "suspect"],
            partitions(),
            "1 alive, 1 suspect; all 256 partitions are safe.",
            "warning",
        ),
        (
            ["alive", "alive", "dead"],
            partitions(56, moving=2),
            "2 alive, 1 dead; of 256 partitions 56 unprotected, 2 moving.",
            "warning",
        ),
        (
            ["alive", "dead"],
            partitions(50, 6),
            "1 alive, 1 dead; of 256 partitions 6 lost, 50 unprotected.",
            "bad",
        ),
        (
            ["alive", "alive"],
            partitions(moving=9),
            "2 members alive; all 256 partitions are safe, 9 moving.",
            "good",
        ),
        (
            ["alive"],
            partitions(backup_count=0),
            "1 member alive; all 256 partitions are served, without backups.",
            "good",
        ),
        (["alive"], partitions(total=0), "1 member alive; no partitions yet.", "good"),
        (["alive"], partitions() | {"safe": 0}, "1 member alive; no partitions yet.", "good"),
    ],
)
def test_headline_tells_the_worst(
    states: list[str], counts: dict[str, int], sentence: str, severity: str
) -> None:
    """One sentence for a person who has one second."""
    source = status(
        0,
        members=[member(number, state=state) for number, state in enumerate(states)],
        partitions=counts,
    )
    assert headline(source) == (sentence, severity)


@pytest.mark.parametrize(
    ("writes", "entries", "sentence"),
    [
        (0, 0, ""),
        (1, 0, "1 acknowledged write at risk."),
        (0, 1, "1 entry without a backup."),
        (12, 34_567, "12 acknowledged writes at risk, 34,567 entries without a backup."),
    ],
)
def test_what_a_death_would_cost_is_said(writes: int, entries: int, sentence: str) -> None:
    """Bounded and counted: here are the counts."""
    source = status(2, writes_at_risk=writes, unprotected_entries=entries)
    assert exposure(source) == sentence
    console_model = ConsoleModel("a:1")
    console_model.update(source, 1.0)
    assert sentence in console_model.summary


def test_tasks_of_a_dead_member_are_done_but_no_longer_queued() -> None:
    """They run elsewhere by now, and are counted there."""
    tasks = {"queued": 5, "running": 2, "done": 100}
    members = [member(1, tasks=tasks), member(2, tasks=tasks, state="dead")]
    totals = status(2, members=members).tasks()
    assert (totals.queued, totals.running, totals.done) == (5, 2, 200)
