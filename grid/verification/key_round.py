"""One key in one round: doubts first, and with the answers to them a judgement.

The doubts are: writes that the last look does not show, writes because of which a read seems stale
or has no explanation, and all writes of a key for whose operations no order was found. Whatever of
these is said not to have survived is taken out, and what is still wrong then is a fault.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence

from grid.verification.findings import Findings
from grid.verification.history import (
    ABSENT,
    Disruption,
    Kind,
    Loss,
    Operation,
    Outcome,
    emptied,
    initial,
)
from grid.verification.linearizability import Answer, search
from grid.verification.register import Register, last_read


class KeyRound:
    """What happened to one key in one round."""

    def __init__(
        self,
        before: Sequence[Operation],
        operations: Sequence[Operation],
        value: Hashable,
        quiet_s: float,
        losses: Sequence[Loss],
        disruptions: Sequence[Disruption],
        *,
        steps_max: int,
    ) -> None:
        """Look for doubts.

        Args:
            before: what the key showed at the end of the last round, then writes still open.
            operations: of this round.
            value: what it shows now, since `quiet_s`.
            losses: of its partition.
            disruptions: see `history.Disruption`.
            steps_max: bound of the search; 0: none.
        """
        self._shown_before = before[0]
        self.key = before[0].key
        self._partition = before[0].partition
        self._losses = losses
        self.has_operations = bool(operations)
        self._writes = [*before, *(one for one in operations if one.kind is not Kind.READ)]
        self._emptied = [emptied(self.key, loss) for loss in losses]
        self._reads = [one for one in operations if one.kind is Kind.READ]
        self._last = last_read(self.key, self._partition, value, quiet_s)
        self._invented = {write for write in before[:1] if write.version == 0 and _is_oldest(write)}
        register = Register([*self._writes, *self._emptied])
        self._faults = register.check([*self._reads, self._last])
        self._lost = self._lost_of(Register(self._writes))
        self.shown = register.explanation(self._last)
        self._order = self._search(steps_max, disruptions)

    def doubted(self) -> list[Operation]:
        """Return the acknowledged writes of which it matters whether they survived."""
        doubted = dict.fromkeys([*self._lost, *self._faults.blamed])
        if self._order is Answer.NOT_LINEAR and not doubted:
            doubted.update(dict.fromkeys(one for one in self._writes if one.is_acknowledged))
        return [one for one in doubted if one not in self._invented and one not in self._emptied]

    def judge(
        self, answers: Mapping[Operation, bool], excused: Container[int], findings: Findings
    ) -> None:
        """Add the faults of this key to `findings`."""
        gone = {write for write in self._writes if answers.get(write) is False}
        if self.shown in gone:
            findings.false_alarms += 1
            gone.discard(self.shown)
        if gone:
            register = Register([*self._writes, *self._emptied], gone)
            self._faults = register.check([*self._reads, self._last])
            self.shown = register.explanation(self._last)
        for write in self._lost:
            self._judge_lost(write, write in gone, excused, findings)
        self._judge_reads(gone, findings)
        self._judge_order(gone, findings)

    def to_remember(self) -> Operation:
        """Return what the key shows, for the next round."""
        shown = self.shown
        if shown is not None and shown not in self._emptied:
            return shown
        if self._last.value is ABSENT:
            return initial(self.key, self._partition)
        # Wrong once is enough: from here on it is what this key shows.
        start_s = -float("inf")
        return Operation(0, self.key, self._partition, Kind.PUT, self._last.value, start_s, start_s)

    def still_open(self) -> list[Operation]:
        """Return the writes that may still take effect."""
        return [
            write
            for write in self._writes
            if write.outcome is Outcome.UNKNOWN and write is not self.shown
        ]

    # -- parts ----------------------------------------------------------------------------

    def _lost_of(self, register: Register) -> list[Operation]:
        return [write for write in register.lost(self._last) if write not in self._invented]

    def _search(self, steps_max: int, disruptions: Sequence[Disruption]) -> Answer | None:
        """Look for an order; None where that would say nothing."""
        disturbed: list[Disruption | Loss] = [*disruptions, *self._losses]
        if steps_max == 0 or any(
            write.begin_s <= each.end_s and write.done_s >= each.begin_s
            for write in self._writes
            if not write.is_sync and not _is_oldest(write)
            for each in disturbed
        ):
            return None
        history = [*self._writes[1:], *self._emptied, *self._reads, self._last]
        return search(self._shown_before.value, history, steps_max)

    def _judge_lost(
        self, write: Operation, is_gone: bool, excused: Container[int], findings: Findings
    ) -> None:
        with_partition = any(write.begin_s <= loss.end_s for loss in self._losses)
        findings.lost += 1
        findings.lost_with_partition += with_partition
        if with_partition or is_gone:
            findings.lost_reported += 1
        else:
            findings.lost_unreported += 1
            findings.explain(f"lost, not reported: {write.describe()}")
        if write.is_sync:
            if with_partition or self._partition in excused:
                findings.sync_lost_excused += 1
            else:
                findings.sync_lost += 1
                findings.explain(f"lost although a backup had it: {write.describe()}")

    def _judge_reads(self, gone: Container[Operation], findings: Findings) -> None:
        """The last look counts as a read only for what makes no write a lost one."""
        resurrected = set(self._faults.resurrected)
        for read in self._faults.stale:
            if read is self._last and self._lost:
                continue
            findings.stale_reads += 1
            findings.resurrected += read in resurrected
            word = "deleted before" if read in resurrected else "overwritten before"
            findings.explain(f"{word}: {read.describe()}")
        if self._shown_before in gone:
            return  # What was there before that is forgotten.
        for read in self._faults.unexplained:
            if read.value is not ABSENT:
                findings.impossible_reads += 1
                findings.explain(f"nobody can have stored this: {read.describe()}")
            elif read is not self._last:
                findings.stale_reads += 1
                findings.explain(f"nothing, although nobody deleted: {read.describe()}")

    def _judge_order(self, gone: Container[Operation], findings: Findings) -> None:
        if self._order is None or any(write in gone for write in self._writes):
            findings.search_skipped += 1
            return
        findings.searched += 1
        findings.search_gave_up += self._order is Answer.GAVE_UP
        if self._order is Answer.NOT_LINEAR:
            findings.not_linearizable += 1
            findings.explain(f"no order of its operations exists: key {self.key!r}")


def _is_oldest(write: Operation) -> bool:
    """Whether it stands for the state before all writes."""
    return write.begin_s == -float("inf")
