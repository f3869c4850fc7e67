"""A submitter's tasks, from submit to result."""

from __future__ import annotations

from random import Random

import pytest

from grid.executor.effects import Finished, SendToNode, Started, SubmissionEffect
from grid.executor.messages import CancelTask, Outcome, RunTask, TaskEnded, TaskStarted
from grid.executor.submissions import LOCALITY_SEARCH, NODE_LOSSES_MAX, Terms
from grid.types import NodeId

from .samples import end, look, node, of_kind, sent, submissions, submit


def test_task_waits_until_there_is_a_node() -> None:
    tested = submissions()
    assert submit(tested) == []
    assert sent(look(tested, 1)) == [(node(1), 1, 1)]


def test_result_finishes_the_task_and_frees_its_slot() -> None:
    tested = submissions(1)
    assert len(submit(tested, 2)) == 1
    effects = end(tested, 1, 1)
    assert effects[0] == Finished(1, Outcome.RETURNED, b"result", node(1))
    assert sent(effects) == [(node(1), 2, 1)]
    assert tested.unfinished() == {2}


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
    assert tested.unfinished() == set()


def test_task_of_a_lost_node_goes_to_another_as_the_next_attempt() -> None:
    tested = submissions(1, 2)
    (effect,) = of_kind(SendToNode, submit(tested))
    other = ({node(1), node(2)} - {effect.node_id}).pop()
    assert sent(tested.node_lost(effect.node_id)) == [(other, 1, 2)]
    assert tested.retried_count == 1


def test_late_result_of_a_given_up_attempt_is_ignored() -> None:
    tested = submissions(1)
    submit(tested)
    end(tested, 1, 1, outcome=Outcome.WORKER_DIED)
    assert end(tested, 1, 1, attempt=1) == []
    assert end(tested, 2, 1, attempt=2) == []
    assert tested.unfinished() == {1}
    assert end(tested, 1, 1, attempt=2) == [Finished(1, Outcome.RETURNED, b"result", node(1))]


def test_tasks_are_sent_again_when_all_links_are_lost_and_the_nodes_told_again() -> None:
    tested = submissions(1, 2)
    submit(tested, 3)
    assert tested.all_nodes_lost() == []
    assert tested.unfinished() == {1, 2, 3}
    assert [attempt for _, _, attempt in sent(look(tested, 1, 2))] == [2, 2]


def test_task_under_which_workers_die_is_given_up_at_the_limit_with_the_evidence() -> None:
    tested = submissions(1)
    submit(tested)
    for attempt in (1, 2):
        effects = tested.ended(
            node(1), TaskEnded(1, attempt, Outcome.WORKER_DIED, payload=b"death %d" % attempt)
        )
        assert sent(effects) == [(node(1), 1, attempt + 1)]
    (finished,) = of_kind(Finished, end(tested, 1, 1, 3, Outcome.WORKER_DIED))
    assert finished.outcome is Outcome.WORKER_DIED
    assert finished.payload == b"death 1 on n1; death 2 on n1; result on n1"
    assert finished.deaths == 3
    assert tested.unfinished() == set()
    assert tested.retried_count == 2


def test_one_attempt_means_that_a_task_never_runs_twice() -> None:
    tested = submissions(1, 2)
    (effect,) = of_kind(SendToNode, submit(tested, attempts_max=1))
    (finished,) = tested.node_lost(effect.node_id)
    assert isinstance(finished, Finished)
    assert (finished.outcome, finished.deaths) == (Outcome.WORKER_DIED, 1)


def test_task_of_a_node_missing_from_the_view_is_sent_again_before_others() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert sent(look(tested, 2)) == [(node(2), 1, 2)]


def test_what_was_queued_on_a_dead_node_is_not_blamed() -> None:
    tested = submissions(1)
    submit(tested)
    for _ in range(NODE_LOSSES_MAX):
        assert of_kind(Finished, tested.node_lost(node(1))) == []
        assert len(sent(look(tested, 1))) == 1
    (finished,) = of_kind(Finished, tested.node_lost(node(1)))
    assert finished.outcome is Outcome.WORKER_DIED


def test_what_was_executing_on_a_dead_node_is_blamed() -> None:
    tested = submissions(1)
    submit(tested)
    for attempt in (1, 2):
        assert tested.started(node(1), TaskStarted(1, attempt)) == [Started(1, node(1))]
        assert tested.node_lost(node(1)) == []
        look(tested, 1)
    tested.started(node(1), TaskStarted(1, 3))
    (finished,) = tested.node_lost(node(1))
    assert isinstance(finished, Finished)
    assert finished.payload == b"; ".join([b"node n1 is gone"] * 3)


def test_word_of_an_old_attempt_is_ignored() -> None:
    tested = submissions(1)
    submit(tested)
    end(tested, 1, 1, outcome=Outcome.WORKER_DIED)
    assert tested.started(node(1), TaskStarted(1, 1)) == []
    assert tested.started(node(2), TaskStarted(1, 2)) == []
    assert tested.started(node(1), TaskStarted(7, 1)) == []


def test_refusal_of_a_full_queue_is_no_attempt() -> None:
    tested = submissions(1, 2)
    ((first, _, _),) = sent(submit(tested, attempts_max=1))
    other = ({node(1), node(2)} - {first}).pop()
    refused = TaskEnded(1, 1, Outcome.REFUSED_QUEUE_FULL, payload=b"")
    assert sent(tested.ended(first, refused)) == [(other, 1, 1)]
    assert tested.retried_count == 0


def test_full_node_gets_nothing_until_it_reports_or_ends_a_task() -> None:
    tested = submissions(1, workers=2)
    submit(tested, 2)
    refused = TaskEnded(2, 1, Outcome.REFUSED_QUEUE_FULL, payload=b"")
    assert tested.ended(node(1), refused) == []
    assert sent(end(tested, 1, 1)) == [(node(1), 2, 1)]
    assert tested.ended(node(1), refused) == []
    assert sent(look(tested, 1, workers=2)) == [(node(1), 2, 1)]


def test_pending_task_is_cancelled_at_once_and_the_node_of_a_sent_one_is_asked() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert tested.cancel(2) == [Finished(2, Outcome.CANCELLED, b"", None)]
    assert tested.cancel(2) == []
    assert tested.cancel(1) == [SendToNode(node(1), CancelTask(1))]
    assert tested.cancel(1, is_forced=True) == [SendToNode(node(1), CancelTask(1, is_forced=True))]
    assert tested.unfinished() == {1}


def test_cancelled_task_gives_its_slot_to_the_next() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert sent(end(tested, 1, 1, outcome=Outcome.CANCELLED)) == [(node(1), 2, 1)]


def test_task_that_is_ended_by_force_does_not_run_again_when_its_node_dies() -> None:
    tested = submissions(1, 2)
    (effect,) = of_kind(SendToNode, submit(tested))
    tested.started(effect.node_id, TaskStarted(1, 1))
    tested.cancel(1, is_forced=True)
    assert tested.node_lost(effect.node_id) == [Finished(1, Outcome.KILLED, b"", effect.node_id)]


def test_task_that_is_ended_by_force_does_not_run_again_when_its_worker_dies_by_itself() -> None:
    tested = submissions(1)
    submit(tested)
    tested.cancel(1, is_forced=True)
    assert end(tested, 1, 1, outcome=Outcome.WORKER_DIED) == [
        Finished(1, Outcome.KILLED, b"", node(1))
    ]


def test_task_that_could_not_be_cancelled_any_more_survives_a_full_queue_at_its_next_try() -> None:
    tested = submissions(1)
    submit(tested)
    tested.cancel(1)
    tested.started(node(1), TaskStarted(1, 1))
    end(tested, 1, 1, outcome=Outcome.WORKER_DIED)
    assert end(tested, 1, 1, 2, Outcome.REFUSED_QUEUE_FULL) == []
    assert tested.unfinished() == {1}


def test_highest_priority_goes_first() -> None:
    tested = submissions(1)
    submit(tested, 2)
    submit(tested, priority=5)
    assert sent(end(tested, 1, 1)) == [(node(1), 3, 1)]
    assert sent(end(tested, 1, 3)) == [(node(1), 2, 1)]


def test_pinned_task_waits_for_its_node_and_holds_up_no_other() -> None:
    tested = submissions(1, 2)
    assert sent(submit(tested, preferred=node(1), is_pinned=True)) == [(node(1), 1, 1)]
    submit(tested, 5, preferred=node(1), is_pinned=True)
    assert sent(submit(tested)) == [(node(2), 7, 1)]
    assert {target for target, _, _ in sent(end(tested, 1, 1))} == {node(1)}


def test_pinned_task_ends_with_its_node() -> None:
    tested = submissions(1, 2)
    submit(tested, 4, preferred=node(1), is_pinned=True)
    finished = of_kind(Finished, look(tested, 2))
    assert sorted(each.task for each in finished) == [1, 2, 3, 4]
    assert {each.outcome for each in finished} == {Outcome.WORKER_DIED}
    submit(tested, preferred=node(7), is_pinned=True)
    assert [each.task for each in of_kind(Finished, look(tested, 2))] == [5]


def test_pinned_task_whose_worker_died_runs_again_there() -> None:
    tested = submissions(1, 2)
    submit(tested, preferred=node(1), is_pinned=True)
    assert sent(end(tested, 1, 1, outcome=Outcome.WORKER_DIED)) == [(node(1), 1, 2)]


def test_cancelled_pinned_task_is_forgotten() -> None:
    tested = submissions(1)
    submit(tested, 3, preferred=node(1), is_pinned=True)
    assert tested.cancel(3) == [Finished(3, Outcome.CANCELLED, b"", None)]


def test_many_short_tasks_wait_behind_a_worker_and_few_long_ones() -> None:
    tested = submissions(1)
    submit(tested, 400)
    in_flight = 1
    for task in range(1, 60):
        news = tested.ended(node(1), TaskEnded(task, 1, Outcome.RETURNED, 100, b""))
        in_flight += len(sent(news)) - 1
    assert in_flight > 30
    for task in range(60, 200):
        news = tested.ended(node(1), TaskEnded(task, 1, Outcome.RETURNED, 500_000, b""))
        in_flight += len(sent(news)) - 1
    assert in_flight <= 2


def test_no_node_gets_more_than_its_window() -> None:
    tested = submissions(1, 2, workers=2)
    few = sent(submit(tested, 4))
    assert sorted(target for target, _, _ in few) == [node(1)] * 2 + [node(2)] * 2
    assert submit(tested, 8) == []
    # Nine pending for four workers is plenty: one may wait behind a worker, and eight are not.
    (ninth,) = sent(submit(tested))
    assert ninth[1:] == (5, 1)
    assert len(sent(submit(tested, 3))) == 3
    assert len(tested.unfinished()) == 16
    assert submit(tested, 20) == []


def test_new_report_does_not_forget_what_is_in_flight() -> None:
    tested = submissions(1)
    submit(tested, 2)
    assert look(tested, 1) == []
    assert len(end(tested, 1, 1)) == 2


def test_task_runs_where_its_data_is() -> None:
    tested = submissions(1, 2, 3, 4)
    assert sent(submit(tested, preferred=node(3))) == [(node(3), 1, 1)]
    (elsewhere,) = sent(submit(tested, preferred=node(3)))
    assert elsewhere[0] != node(3)


def test_freed_node_takes_an_early_task_whose_data_it_holds() -> None:
    tested = submissions(1, 2)
    on_second = next(task for target, task, _ in sent(submit(tested, 2)) if target == node(2))
    submit(tested, 2)
    submit(tested, preferred=node(2))
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

    outcomes = [Outcome.RETURNED] * 6 + [Outcome.WORKER_DIED, Outcome.CANCELLED]
    for _ in range(100):
        note(submit(tested, random.randint(0, 3)))
        if random.random() < 0.1:
            lost = random.choice([1, 2, 3])
            note(tested.node_lost(node(lost)))
            note(look(tested, 1, 2, 3, workers=2))
        for _ in range(random.randint(0, 4)):
            if on_the_way:  # Also of lost nodes, and sometimes twice: the network is like that.
                place = random.randrange(len(on_the_way))
                keep = random.random() < 0.1
                ended = on_the_way[place] if keep else on_the_way.pop(place)
                target, task, attempt = ended
                if random.random() < 0.3:
                    note(tested.started(target, TaskStarted(task, attempt)))
                note(
                    tested.ended(
                        target, TaskEnded(task, attempt, random.choice(outcomes), payload=b"")
                    )
                )
    while on_the_way:
        target, task, attempt = on_the_way.pop()
        note(tested.ended(target, TaskEnded(task, attempt, Outcome.RETURNED, payload=b"")))
    last, _ = tested.submit(b"", Terms())
    assert sorted(finished) == list(range(1, last))
    assert tested.unfinished() == {last}


def test_node_is_told_what_the_function_is_called() -> None:
    tested = submissions(1)
    _, effects = tested.submit(b"task", Terms(), function="crunch")
    (message,) = (effect.message for effect in of_kind(SendToNode, effects))
    assert isinstance(message, RunTask)
    assert message.function == "crunch"


def test_a_task_on_its_last_death_ends_when_its_node_vanishes_from_the_view() -> None:
    tested = submissions(1)
    submit(tested, attempts_max=1)
    (finished,) = look(tested, 2)
    assert isinstance(finished, Finished)
    assert (finished.task, finished.outcome) == (1, Outcome.WORKER_DIED)
