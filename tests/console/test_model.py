"""What the console knows and derives."""

from __future__ import annotations

import pytest

from grid.console.model import EVENTS_MAX, SAMPLES_MAX, ConsoleModel, Sample, exposure, headline

from .samples import member, model, partitions, status


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
            "1 alive, 1 suspect; 128 of 256 partitions may not answer.",
            "warning",
        ),
        (
            ["alive", "alive", "dead"],
            partitions(56, moving=2),
            "2 alive, 1 dead; of 256 partitions 56 unprotected, 2 moving.",
            "warning",
        ),
        (
            ["alive", "dead", "left"],
            partitions(256),
            "1 alive, 1 dead; of 256 partitions 256 unprotected: backups need a second node.",
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


def test_node_that_answers_is_named_with_its_address() -> None:
    """In the title: the grid is drawn as that one sees it."""
    console_model = ConsoleModel("127.0.0.1:7701")
    console_model.update(status(2, node="an id that no member has"), 1.0)
    assert console_model.own_address == "127.0.0.1:7701"
    console_model.update(status(2, node=member(2)["id"]), 2.0)
    assert console_model.own_address == "n2 192.168.1.12:7701"


def test_last_minute_of_a_member_is_remembered_and_no_more() -> None:
    """For its sparkline; a picture has no room for more."""
    console_model = ConsoleModel("a:1")
    for second in range(SAMPLES_MAX + 5):
        busy = member(1, cpu_percent=second, operations_per_s=2 * second)
        console_model.update(status(1, members=[busy]), float(second))
    samples = console_model.samples_of(console_model.members[0])
    assert len(samples) == SAMPLES_MAX
    assert (samples[0], samples[-1]) == (Sample(5, 10), Sample(64, 128))


def test_member_that_is_gone_or_forgotten_has_no_past() -> None:
    """It takes no memory, and a picture of it would look alive."""
    console_model = ConsoleModel("a:1")
    console_model.update(status(2), 1.0)
    dead = member(2, state="dead")
    for members in ([member(1), dead], [member(1)]):
        console_model.update(status(2, members=members), 2.0)
        assert console_model.samples_of(status(2, members=[dead]).members[0]) == []
    assert len(console_model.samples_of(console_model.members[0])) == 3
