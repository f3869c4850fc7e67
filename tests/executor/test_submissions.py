"""A submitter's tasks, from submit to result."""

from __future__ import annotations

from random import Random

import pytest

from grid.executor.messages import Outcome, TaskEnded
from grid.executor.options import ExecutorOptions
from grid.executor.placement import NodeLoad
from grid.executor.submissions import (
    LOCALITY_SEARCH,
    Finished,
    SendTask,
    SubmissionEffect,
    Submissions,
)
from grid.types import NodeId

from .samples import load, node, of_kind, sent, submissions, submit


def end(
    tested: Submissions,
    number: int,
    task: int,
    attempt: int = 1,
    outcome: Outcome = Outcome.RETURNED,
) -> list[SubmissionEffect]:
    return tested.ended(node(number), TaskEnded(task, attempt, outcome, b"result"))


def test_task_waits_until_there_is_a_node() -> None:
    tested = submissions()
    assert submit(tested) == []
    assert tested.node_of(1) is None
    effects = tested.nodes_changed([load(1)])
    assert sent(effects) == [(node(1), 1, 1)]
    assert of_kind(SendTask, effects)[0].message.payload == b"task 1"
    assert tested.node_of(1) == node(1)


def test_result_finishes_the_task_and_frees_its_slot() -> None:
    tested = submissions(1)
    assert len(submit(tested, 2)) == 1
    effects = end(tested, 1, 1)
    assert effects[0] == Finished(1, Outcome.RETURNED, b"result", node(1))
    assert sent(effects) == [(node(1), 2, 1)]
    assert tested.unfinished_count == 1


@pytest.mark.parametrize("outcome", [Outcome.RETURNED, Outcome.RAISED, Outcome.CANCELLED])
def test_outcome_and_payload_are_passed_on(outcome: Outcome) -> None:
    tested = submissions(1)
    submit(tested)
    assert end(tested, 1, 1, outcome=outcome) == [Finished(1, outcome, b"result", node(1))]


def test_second_result_of_an_attempt_is_ignored() -> None:
    tested = submissions(1)
    submit(tested)
    end(tested, 1, 1)
    assert end(tested, 1, 1) == []
    assert tested.unfinished_count == 0


def test_task_of_a_lost_node_goes_to_another_as_the_next_attempt() -> None:
    tested = submissions(1, 2)
    (effect,) = of_kind(SendTask, submit(tested))
    other = ({node(1), node(2)} - {effect.node_id}).pop()
    assert sent(tested.node_lost(effect.node_id)) == [(other, 1, 2)]
    assert tested.retried_count == 1


def test_late_result_of_a_given_up_attempt_is_ignored() -> None:
    tested = submissions(1)
    submit(tested)
    end(tested, 1, 1, outcome=Outcome.WORKER_DIED)
    assert end(tested, 1, 1, attempt=1) == []
    assert end(tested, 2, 1, attempt=2) == []
    assert tested.unfinished_count == 1
    assert end(tested, 1, 1, attempt=2) == [Finished(1, Outcome.RETURNED, b"result", node(1))]


def test_task_under_which_workers_die_is_given_up_at_the_limit() -> None:
    tested = submissions(1, attempts_max=3)
    submit(tested)
    for attempt in (1, 2):
        effects = end(tested, 1, 1, attempt, Outcome.WORKER_DIED)
        assert sent(effects) == [(node(1), 1, attempt + 1)]
    assert end(tested, 1, 1, 3, Outcome.WORKER_DIED) == [
        Finished(1, Outcome.WORKER_DIED, b"", node(1))
    ]
    assert tested.unfinished_count == 0
    assert tested.retried_count == 2


def test_one_attempt_means_that_a_task_never_runs_twice() -> None:
    tested = submissions(1, 2, attempts_max=1)
    (effect,) = of_kind(SendTask, submit(tested))
    assert tested.node_lost(effect.node_id) == [
        Finished(1, Outcome.WORKER_DIED, b"", effect.node_id)
    ]


def test_task_of_a_node_missing_from_the_view_is_sent_again_before_others() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert sent(tested.nodes_changed([load(2)])) == [(node(2), 1, 2)]


def test_refusal_of_a_full_queue_is_no_death() -> None:
    tested = submissions(1, 2, attempts_max=1)
    ((first, _, _),) = sent(submit(tested))
    other = ({node(1), node(2)} - {first}).pop()
    refused = TaskEnded(1, 1, Outcome.REFUSED_QUEUE_FULL, b"")
    assert sent(tested.ended(first, refused)) == [(other, 1, 2)]
    assert tested.retried_count == 0


def test_pending_task_is_cancelled_and_a_sent_one_is_not() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert tested.cancel(2)
    assert not tested.cancel(2)
    assert not tested.cancel(1)
    assert tested.unfinished_count == 1


def test_withdrawn_task_gives_its_slot_to_the_next() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert sent(tested.withdrawn(1)) == [(node(1), 2, 1)]
    assert tested.withdrawn(1) == []
    end(tested, 1, 2)
    assert sent(submit(tested)) == [(node(1), 3, 1)]
    assert tested.unfinished_count == 1


def test_no_node_gets_more_than_its_window() -> None:
    tested = submissions(1, 2, workers=2)
    few = sent(submit(tested, 4))
    assert sorted(target for target, _, _ in few) == [node(1)] * 2 + [node(2)] * 2
    assert submit(tested, 8) == []
    # Nine pending for four workers is plenty: one may wait behind a worker, and eight are not.
    (ninth,) = sent(submit(tested))
    assert ninth[1:] == (5, 1)
    assert submit(tested, 3) != []
    assert tested.unfinished_count == 16
    assert sum(tested.node_of(task) is not None for task in range(1, 17)) == 8
    assert submit(tested, 20) == []


def test_new_report_does_not_forget_what_is_in_flight() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert tested.nodes_changed([load(1)]) == []
    assert len(end(tested, 1, 1)) == 2


def test_task_runs_where_its_data_is() -> None:
    tested = submissions(1, 2, 3, 4)
    assert sent(submit(tested, preferred=node(3))) == [(node(3), 1, 1)]
    (elsewhere,) = sent(submit(tested, preferred=node(3)))
    assert elsewhere[0] != node(3)


def test_freed_node_takes_an_early_task_whose_data_it_holds() -> None:
    tested = submissions(1, 2)
    submit(tested, 2)
    submit(tested, 2)
    submit(tested, preferred=node(2))
    on_second = next(task for task in (1, 2) if tested.node_of(task) == node(2))
    assert sent(end(tested, 2, on_second)) == [(node(2), 5, 1)]


def test_search_for_local_data_does_not_go_on_for_ever() -> None:
    tested = submissions(1)
    submit(tested)
    submit(tested, LOCALITY_SEARCH + 5, preferred=node(9))
    submit(tested, preferred=node(1))
    effects = end(tested, 1, 1)
    assert {task for _, task, _ in sent(effects)} <= set(range(2, LOCALITY_SEARCH + 6))


@pytest.mark.parametrize("seed", range(20))
def test_every_task_is_answered_exactly_once_whatever_dies(seed: int) -> None:
    random = Random(seed)
    tested = submissions(1, 2, 3, workers=2)
    finished: list[int] = []
    on_the_way: list[tuple[NodeId, int, int]] = []
    attempts: dict[int, int] = {}

    def note(effects: list[SubmissionEffect]) -> None:
        finished.extend(effect.task for effect in of_kind(Finished, effects))
        for target, task, attempt in sent(effects):
            assert attempt == attempts.get(task, 0) + 1
            attempts[task] = attempt
            on_the_way.append((target, task, attempt))

    outcomes = [Outcome.RETURNED] * 6 + [Outcome.WORKER_DIED, Outcome.REFUSED_QUEUE_FULL]
    for _ in range(100):
        note(submit(tested, random.randint(0, 3)))
        if random.random() < 0.1:
            lost = random.choice([1, 2, 3])
            note(tested.node_lost(node(lost)))
            note(tested.nodes_changed([load(number, 2) for number in (1, 2, 3)]))
        for _ in range(random.randint(0, 4)):
            if on_the_way:  # Also of lost nodes, and sometimes twice: the network is like that.
                place = random.randrange(len(on_the_way))
                keep = random.random() < 0.1
                ended = on_the_way[place] if keep else on_the_way.pop(place)
                target, task, attempt = ended
                note(tested.ended(target, TaskEnded(task, attempt, random.choice(outcomes), b"")))
    while on_the_way:
        target, task, attempt = on_the_way.pop()
        note(tested.ended(target, TaskEnded(task, attempt, Outcome.RETURNED, b"")))
    assert sorted(finished) == list(range(1, tested.next_number()))
    assert tested.unfinished_count == 0


def test_a_task_on_its_last_death_ends_when_its_node_vanishes_from_the_view() -> None:
    submissions = Submissions(ExecutorOptions(attempts_max=1), Random(1))
    submissions.nodes_changed([NodeLoad(NodeId(b"1" * 16), 1)])
    number = submissions.next_number()
    submissions.submit(number, b"")
    (finished,) = submissions.nodes_changed([NodeLoad(NodeId(b"2" * 16), 1)])
    assert isinstance(finished, Finished)
    assert (finished.task, finished.outcome) == (number, Outcome.WORKER_DIED)
