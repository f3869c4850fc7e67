"""What the console knows: the newest cluster status, the latest events, and what follows.

Pure: no clock, no terminal, no sockets. The caller passes in every time, so that a test can
replay any history.

Not here: the shape of a status (``document.py``), drawing (``view.py``), and where a status comes
from (the supervisor, or a client).

Theory of operation: an update replaces the whole status; only rates need the one before, and the
sparklines the last minute of each member that is still in the status.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Literal, NamedTuple, TypeAlias

from grid.console.document import ClusterStatus, MemberStatus, State
from grid.types import counted

EVENTS_MAX = 200
"""Event lines kept: several screens of the tallest terminal, and still nothing in memory."""

SAMPLES_MAX = 60
"""Updates remembered of each member, for its sparkline: a minute."""

Severity: TypeAlias = Literal["good", "warning", "bad"]


class Event(NamedTuple):
    """One line of the event log; `time` is wall clock text, ready to show."""

    time: str
    level: str
    text: str

    def __str__(self) -> str:
        """Return ``HH:MM:SS LEVEL text``."""
        return f"{self.time} {self.level} {self.text}"


class Sample(NamedTuple):
    """What a sparkline shows of one update."""

    cpu_percent: float
    operations_per_s: int


class Headline(NamedTuple):
    """How the cluster is, in one sentence."""

    text: str
    severity: Severity


def one_line(text: str) -> str:
    """Return `text` without line breaks, repeated blanks or control characters.

    A traceback would tear the screen, and an escape sequence in a member's name would run in
    the terminal of whoever watches.
    """
    shown = (character if character.isprintable() else " " for character in text)
    return " ".join("".join(shown).split())


def headline(status: ClusterStatus) -> Headline:
    """Return the sentence for `status`, the worst news deciding its severity.

    A member that left was asked to, so it is counted nowhere.
    """
    alive, suspect, dead = (status.count(state) for state in ("alive", "suspect", "dead"))
    # The noun makes room for the numbers when there are more of them: 80 columns must do.
    parts = [f"{alive} alive" if suspect or dead else f"{counted(alive, 'member')} alive"]
    if suspect:
        parts.append(f"{suspect} suspect")
    if dead:
        parts.append(f"{dead} dead")
    counts = status.partitions
    silent = status.silent_partitions
    figures = (
        (counts.lost, "lost"),
        (counts.unprotected, "unprotected"),
        (counts.moving, "moving"),
    )
    shown = ", ".join(f"{count} {word}" for count, word in figures if count)
    if silent and not shown:
        news = f"{silent} of {counts.total} partitions may not answer"
    elif counts.are_safe and not silent:
        safe = "safe" if counts.backup_count else "served, without backups"
        news = f"all {counts.total} partitions are {safe}{', ' if shown else ''}{shown}"
    else:
        if silent:
            shown += f", {silent} may not answer"
        news = f"of {counts.total} partitions {shown}" if shown else "no partitions yet"
        if alive + suspect == 1 and 0 < counts.unprotected == counts.total:
            news += ": backups need a second node"
    severity: Severity = "good"
    if suspect or dead or counts.unprotected:
        severity = "warning"
    if counts.lost:
        severity = "bad"
    return Headline(f"{', '.join(parts)}; {news}.", severity)


def exposure(status: ClusterStatus) -> str:
    """Return what a death would cost now, besides partitions; nothing when it costs nothing."""
    losses = []
    if status.writes_at_risk:
        losses.append(f"{counted(status.writes_at_risk, 'acknowledged write')} at risk")
    if status.unprotected_entries:
        entries = f"{status.unprotected_entries:,}"
        noun = "entry" if status.unprotected_entries == 1 else "entries"
        losses.append(f"{entries} {noun} without a backup")
    return f"{', '.join(losses)}." if losses else ""


class ConsoleModel:
    """The newest status, what changed since the one before, and the latest events.

    Attributes:
        own_address: Name and ``host:port`` of the node that is asked; the latter until it answers.
        status: The newest status, None before the first.
        events: Oldest first, at most `EVENTS_MAX`.
        tasks_per_s: Tasks finished a second between the last two updates.
        silence: Said in place of how the cluster is, while nobody tells.
        hint: What a person can do here, for the last row of the screen; may be empty.
    """

    def __init__(self, own_address: str) -> None:
        """Start with nothing known."""
        self.own_address = own_address
        self.status: ClusterStatus | None = None
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.tasks_per_s = 0.0
        self.hint = ""
        self.silence = ""
        self._history: dict[str, deque[Sample]] = {}
        self._updated_s = 0.0

    def update(self, status: ClusterStatus, now_s: float) -> None:
        """Replace the status by a newer one; `now_s` is of any clock that never runs back."""
        if self.status is not None:
            elapsed_s = now_s - self._updated_s
            finished = _tasks_finished(self.status, status)
            self.tasks_per_s = finished / elapsed_s if elapsed_s > 0 else 0.0
        self.status = status
        self._updated_s = now_s
        own = status.own()
        if own is not None:
            self.own_address = f"{own.name} {own.address}"
        former = self._history
        self._history = {
            member.id: former.get(member.id) or deque(maxlen=SAMPLES_MAX)
            for member in status.members
            if not member.is_gone
        }
        for member in status.members:
            if not member.is_gone:
                sample = Sample(member.cpu_percent, member.operations_per_s)
                self._history[member.id].append(sample)

    def samples_of(self, member: MemberStatus) -> list[Sample]:
        """Return the last minute of a member, oldest first; nothing once it is gone."""
        return list(self._history.get(member.id, ()))

    def add_event(self, wall_text: str, level: str, text: str) -> Event:
        """Append an event, forgetting the oldest beyond the bound; return it as it is kept."""
        event = Event(wall_text, one_line(level), one_line(text))
        self.events.append(event)
        return event

    @property
    def members(self) -> list[MemberStatus]:
        """The members by name; none before the first status."""
        return [] if self.status is None else self.status.members_by_name()

    @property
    def headline(self) -> Headline:
        """How the cluster is, in one sentence."""
        if self.silence:
            return Headline(self.silence, "bad")
        if self.status is None:
            return Headline("Waiting for the first status.", "warning")
        return headline(self.status)

    @property
    def summary(self) -> str:
        """Headline, what is at risk, and the tasks, in one line, for output without a screen."""
        if self.status is None:
            return self.headline.text
        tasks = self.status.tasks()
        parts = [
            self.headline.text,
            exposure(self.status),
            f"Tasks: {tasks.queued} queued, {tasks.running} running, {tasks.done} done.",
        ]
        return " ".join(filter(None, parts))


def states_text(members: list[MemberStatus]) -> str:
    """Return how many of `members` are in which state, e.g. ``2 alive, 1 dead``."""
    counts = Counter(member.state for member in members)
    order: tuple[State, ...] = ("alive", "suspect", "dead", "left")
    return ", ".join(f"{counts[state]} {state}" for state in order if counts[state])


def _tasks_finished(before: ClusterStatus, after: ClusterStatus) -> int:
    """Return the tasks finished between two updates.

    Compared member by member: a sum would jump by a whole life's count when a member first
    appears, and turn negative when a dead one is forgotten.
    """
    done_before = {member.id: member.tasks.done for member in before.members}
    return sum(
        max(0, member.tasks.done - done_before.get(member.id, member.tasks.done))
        for member in after.members
    )
