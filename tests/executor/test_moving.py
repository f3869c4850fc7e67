"""A submitter's tasks that wait on one node while another is idle."""

from __future__ import annotations

from grid.executor.effects import Finished, SendToNode, Started
from grid.executor.messages import CancelTask, Outcome, RunTask, TaskEnded, TaskStarted
from grid.executor.submissions import MOVES_MAX, Submissions

from .samples import end, look, node, of_kind, sent, submissions, submit


def crowded() -> Submissions:
    """Return submissions of two nodes: the first has tasks 1 and 2 for its one worker."""
    tested = submissions(1)
    assert sent(submit(tested, 4)) == [(node(1), 1, 1), (node(1), 2, 1)]
    tested.cancel(3)
    tested.cancel(4)
    assert look(tested, 1, 2) == []
    return tested


def test_what_waits_behind_a_running_task_is_asked_back_when_another_node_is_idle() -> None:
    tested = crowded()
    effects = tested.started(node(1), TaskStarted(1, 1))
    assert effects == [Started(1, node(1)), SendToNode(node(1), CancelTask(2))]
    assert look(tested, 1, 2) == []
    assert sent(end(tested, 1, 2, outcome=Outcome.CANCELLED)) == [(node(2), 2, 1)]
    assert of_kind(Finished, end(tested, 2, 2)) == [
        Finished(2, Outcome.RETURNED, b"result", node(2))
    ]


def test_task_that_started_when_it_was_asked_back_stays() -> None:
    tested = crowded()
    tested.started(node(1), TaskStarted(1, 1))
    end(tested, 1, 1)
    assert tested.started(node(1), TaskStarted(2, 1)) == [Started(2, node(1))]
    assert of_kind(Finished, end(tested, 1, 2)) != []


def test_task_that_is_cancelled_while_it_is_asked_back_is_cancelled() -> None:
    tested = crowded()
    tested.started(node(1), TaskStarted(1, 1))
    assert tested.cancel(2) == [SendToNode(node(1), CancelTask(2))]
    (finished,) = end(tested, 1, 2, outcome=Outcome.CANCELLED)
    assert isinstance(finished, Finished)
    assert (finished.task, finished.outcome) == (2, Outcome.CANCELLED)


def test_nothing_is_asked_back_from_a_node_with_little_to_do() -> None:
    tested = crowded()
    tested.ended(node(1), TaskEnded(1, 1, Outcome.RETURNED, 100, b""))
    assert look(tested, 1, 2) == []


def give(tested: Submissions, task: int, attempt: int = 1, thief: int = 2) -> list[object]:
    """Let node 1 give a task back because another one is idle."""
    ended = TaskEnded(task, attempt, Outcome.GIVEN, payload=node(thief))
    return [*tested.ended(node(1), ended)]


def test_task_that_a_node_gives_back_goes_to_the_one_that_asked_for_it() -> None:
    tested = crowded()
    assert sent(give(tested, 2)) == [(node(2), 2, 1)]
    assert tested.retried_count == 0


def test_task_for_a_node_that_is_not_known_yet_goes_wherever_there_is_a_slot() -> None:
    tested = crowded()
    assert sent(give(tested, 2, thief=3)) == [(node(2), 2, 1)]


def test_task_that_is_cancelled_while_it_is_given_back_is_cancelled() -> None:
    tested = crowded()
    tested.cancel(2)
    assert give(tested, 2) == [Finished(2, Outcome.CANCELLED, b"", None)]


def test_task_that_was_given_away_often_stays_where_it_is() -> None:
    tested = submissions(1, 2)
    (first,) = submit(tested)
    home = sent([first])[0][0]
    moves = []
    for _ in range(MOVES_MAX):
        away = node(2) if home == node(1) else node(1)
        ended = TaskEnded(1, 1, Outcome.GIVEN, payload=away)
        (effect,) = tested.ended(home, ended)
        assert isinstance(effect, SendToNode)
        assert isinstance(effect.message, RunTask)
        moves.append(effect.message.may_move)
        home = away
    assert moves == [True] * (MOVES_MAX - 1) + [False]


def test_pinned_task_may_not_move() -> None:
    (effect,) = submit(submissions(1), preferred=node(1), is_pinned=True)
    assert isinstance(effect, SendToNode)
    assert isinstance(effect.message, RunTask)
    assert not effect.message.may_move
