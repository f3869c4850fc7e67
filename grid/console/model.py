"""What the console knows: the newest cluster status, the latest events, and what follows.

Pure: no clock, no terminal, no sockets. The caller passes in every time, so that a test can
replay any history.

Not here: drawing (``view.py``), and where a status comes from (the supervisor, or the answer
to ``grid status --json``, whose shape these structs describe).

Theory of operation: an update replaces the whole status; only rates need the one before. Keys
this version does not know are ignored, so that a newer node can be watched by an older console.

Omissions: no history beyond two updates (hence no sparklines), and no map of the single
partitions, because the status does not carry one yet.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from grid.errors import ProtocolError

EVENTS_MAX = 200
"""Event lines kept: several screens of the tallest terminal, and still nothing in memory."""

State: TypeAlias = Literal["alive", "suspect", "dead", "left"]
Severity: TypeAlias = Literal["good", "warning", "bad"]


class TaskCounts(msgspec.Struct, frozen=True):
    """Tasks of one member; `done` counts since its start."""

    queued: int
    running: int
    done: int


class MemberStatus(msgspec.Struct, frozen=True):
    """One member as the answering node believes it to be."""

    name: str
    id: str
    """Boot id in hex."""
    address: str
    """``host:port``."""
    pid: int
    """Of the supervisor."""
    state: State
    cpu_percent: float
    primaries: int
    backups: int
    entries: int
    at_risk: int
    """Acknowledged writes that the backups do not have yet."""
    tasks: TaskCounts

    @property
    def is_gone(self) -> bool:
        """Whether the member is dead or has left."""
        return self.state in ("dead", "left")


class PartitionCounts(msgspec.Struct, frozen=True):
    """All partitions of the cluster; ``process/status.py`` says what the words mean."""

    total: int
    safe: int
    unprotected: int
    """Partitions that one more death would lose."""
    lost: int
    moving: int
    backup_count: int
    """How many backups each shall have; with none, whatever has an owner counts as safe."""

    @property
    def are_safe(self) -> bool:
        """Whether every partition has what it shall have."""
        return 0 < self.total <= self.safe


class ClusterStatus(msgspec.Struct, frozen=True):
    """The whole answer to ``grid status --json``."""

    cluster: str
    members: tuple[MemberStatus, ...]
    partitions: PartitionCounts
    writes_at_risk: int
    unprotected_entries: int

    def count(self, *states: State) -> int:
        """Return how many members are in one of `states`."""
        return sum(member.state in states for member in self.members)

    def members_by_name(self) -> list[MemberStatus]:
        """Return the members by name, numbers in it compared as numbers (n2 before n10)."""
        return sorted(self.members, key=lambda member: (_natural(member.name), member.address))

    def tasks(self) -> TaskCounts:
        """Return the sums over all members; what is queued or running at a gone one is moot."""
        present = [member.tasks for member in self.members if not member.is_gone]
        return TaskCounts(
            queued=sum(tasks.queued for tasks in present),
            running=sum(tasks.running for tasks in present),
            done=sum(member.tasks.done for member in self.members),
        )


class Event(NamedTuple):
    """One line of the event log; `time` is wall clock text, ready to show."""

    time: str
    level: str
    text: str

    def __str__(self) -> str:
        """Return ``HH:MM:SS LEVEL text``."""
        return f"{self.time} {self.level} {self.text}"


class Headline(NamedTuple):
    """How the cluster is, in one sentence."""

    text: str
    severity: Severity


def decode(source: bytes | Mapping[str, Any]) -> ClusterStatus:
    """Return the status in `source`: JSON, or the same already parsed.

    Raises: ProtocolError when a key is missing or of another type; says which.
    """
    try:
        if isinstance(source, bytes):
            return msgspec.json.decode(source, type=ClusterStatus)
        return msgspec.convert(source, ClusterStatus)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"this is no cluster status: {error}") from error


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
    parts = [f"{alive} alive" if suspect or dead else f"{_plural(alive, 'member')} alive"]
    if suspect:
        parts.append(f"{suspect} suspect")
    if dead:
        parts.append(f"{dead} dead")
    counts = status.partitions
    figures = (
        (counts.lost, "lost"),
        (counts.unprotected, "unprotected"),
        (counts.moving, "moving"),
    )
    shown = ", ".join(f"{count} {word}" for count, word in figures if count)
    if counts.are_safe:
        safe = "safe" if counts.backup_count else "served, without backups"
        news = f"all {counts.total} partitions are {safe}{', ' if shown else ''}{shown}"
    else:
        news = f"of {counts.total} partitions {shown}" if shown else "no partitions yet"
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
        losses.append(f"{_plural(status.writes_at_risk, 'acknowledged write')} at risk")
    if status.unprotected_entries:
        entries = f"{status.unprotected_entries:,}"
        noun = "entry" if status.unprotected_entries == 1 else "entries"
        losses.append(f"{entries} {noun} without a backup")
    return f"{', '.join(losses)}." if losses else ""


class ConsoleModel:
    """The newest status, what changed since the one before, and the latest events.

    Attributes:
        own_address: ``host:port`` of the node that shows this console.
        status: The newest status, None before the first.
        events: Oldest first, at most `EVENTS_MAX`.
        tasks_per_s: Tasks finished a second between the last two updates.
    """

    def __init__(self, own_address: str) -> None:
        """Start with nothing known."""
        self.own_address = own_address
        self.status: ClusterStatus | None = None
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.tasks_per_s = 0.0
        self._updated_s = 0.0

    def update(self, status: ClusterStatus, now_s: float) -> None:
        """Replace the status by a newer one; `now_s` is of any clock that never runs back."""
        if self.status is not None:
            elapsed_s = now_s - self._updated_s
            finished = _tasks_finished(self.status, status)
            self.tasks_per_s = finished / elapsed_s if elapsed_s > 0 else 0.0
        self.status = status
        self._updated_s = now_s

    def add_event(self, wall_text_time: str, level: str, text: str) -> Event:
        """Append an event, forgetting the oldest beyond the bound; return it as it is kept."""
        event = Event(wall_text_time, one_line(level), one_line(text))
        self.events.append(event)
        return event

    @property
    def members(self) -> list[MemberStatus]:
        """The members by name; none before the first status."""
        return [] if self.status is None else self.status.members_by_name()

    @property
    def headline(self) -> Headline:
        """How the cluster is, in one sentence."""
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


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key under which ``n2`` comes before ``n10``."""
    return [
        (int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name)
    ]


def _plural(count: int, noun: str) -> str:
    """Return `count` with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
