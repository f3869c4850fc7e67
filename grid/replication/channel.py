"""The stream from one storage process to another: numbered parcels, sent again until receipted.

Responsible for: order over links that may lose what is on its way when they break; the allowance,
by which the receiver knows what is lost with the sender; how much of fills is on its way.

Not responsible for: what is sent again and when (``unreceipted.py``), how large the allowance is
(``margin.py``), the window of each copy (``outlet.py``), what a fill consists of (``fills.py``),
what the receiver does (``receiving.py``), which copies there are and what follows from a full
window (``primaries.py``).

Theory of operation. Changes wait until somebody waits for them, until they are old or many
enough; then they travel as one parcel. A receipt is cumulative. All that is not receipted is kept,
which the windows bound; so a gap is always closed by sending again, and a copy needs to be filled
anew only when it does not fit for another reason.

The *allowance* is a promise to the receiver: no more writes than this number will have been
acknowledged before a later parcel is receipted. It counts from when the receiver has it, so raising
it takes a round trip, during which writers may have to wait; it follows what is written in such a
time. When the sender dies, what it had acknowledged and the receiver has not got is at most the
allowance less the writes received.

It is *taken back*, down to what has been written, after a while without writes; and when somebody
flushes, as soon as everything is receipted. So who goes on writing meanwhile is not stopped by it;
and what was raised for somebody who waits is left to him for a moment.
"""

from __future__ import annotations

from collections.abc import Callable

from grid.replication.agenda import Agenda
from grid.replication.fills import Fills
from grid.replication.margin import Margin
from grid.replication.messages import FillBegin, FillEnd, Item, Parcel, Receipt, encode_stream
from grid.replication.options import ReplicationOptions
from grid.replication.outlet import CopyOutlet, CopyState
from grid.replication.unreceipted import SentParcel, Unreceipted
from grid.storage.replies import at_once

PARCEL_BYTES = 256 * 1024
"""So much is sent without waiting for more."""

IDLE_S = 1.0
"""Without writes for so long, the allowance is taken back: nothing can be lost."""


class Channel:
    """All copies that one other storage process has of this one's partitions."""

    def __init__(
        self,
        node_id: bytes,
        index: int,
        options: ReplicationOptions,
        clock: Callable[[], float],
        agenda: Agenda,
        on_full: Callable[[CopyOutlet], None],
        on_gates: Callable[[Channel], None],
    ) -> None:
        """Begin without copies.

        Args:
            node_id: the other node.
            index: its storage process.
            options: of replication.
            clock: seconds.
            agenda: is told when `tick` is due earlier than `due_s` has said.
            on_full: called when a complete copy's window has become full.
            on_gates: called when `is_shut` has changed.
        """
        self.node_id = node_id
        self.index = index
        self.options = options
        self._clock = clock
        self._agenda = agenda
        self._on_full = on_full
        self._on_gates = on_gates
        self.outlets: dict[int, CopyOutlet] = {}
        self.touched: dict[CopyOutlet, None] = {}
        self.outgoing: list[bytes] = []
        """To be sent now."""
        self.completed: list[CopyOutlet] = []
        """Whose fills have ended since somebody looked."""
        self.entries = 0
        self._acked_entries = 0
        self._allowance = 0
        self._known_allowance = 0
        """That of the last parcel with a receipt: the receiver has it, or a later one."""
        self._margin = Margin()
        self._largest = 0
        """Writes of a recent request: the next one is to have room as well."""
        self._wanted = 0
        self._last_flush_entries = 0
        self._written_s = 0.0
        self._is_settling = False
        """The allowance is to be taken back as soon as nothing is at risk."""
        self._settled_count = 0
        """How often the receiver is known to have been allowed nothing."""
        self._raised_by, self._raised_s, self._raised_at = 0, 0.0, -1
        """The last parcel with an allowance that was waited for; when, and at how many writes, that
        began to count."""
        self.is_urgent = False
        """Somebody waits."""
        self.is_late = False
        self._was_shut = True
        self._pending: list[Item] = []
        self._pending_bytes = 0
        self._pending_since_s = 0.0
        self._pending_fill_bytes = 0
        self._pending_filled: list[CopyOutlet] = []
        self._sent = Unreceipted()
        self._unacked = self._sent.parcels
        self._number = 0
        self.has_restarted = False
        """Its copies are incomplete since somebody looked."""
        self.stream = int(clock() * 1e6)
        """Higher than that of any earlier channel to there: the other side may know one."""
        self._fill_bytes = 0
        self.fills = Fills(clock)

    # -- what is written ------------------------------------------------------------------

    @property
    def last_number(self) -> int:
        """The number of the last parcel, or of the next one if something waits to be sent."""
        return self._number + (1 if self._pending else 0)

    @property
    def receipted_number(self) -> int:
        """The number up to which there are receipts."""
        return self._unacked[0].number - 1 if self._unacked else self._number

    @property
    def at_risk(self) -> int:
        """Acknowledged writes that the other process may not have."""
        return self.entries - self._acked_entries

    @property
    def room(self) -> int:
        """How many more writes may be acknowledged."""
        return self._allowance - self.entries

    @property
    def is_shut(self) -> bool:
        """Whether writers must wait for this channel."""
        return self.is_late or self._allowance <= self.entries

    def add(self, item: Item, size_bytes: int) -> None:
        """Take something to be sent."""
        if not self._pending:
            now_s = self._pending_since_s = self._clock()
            due_s = now_s + self.options.flush_interval_s
            if due_s < self._agenda.due_s:
                self._agenda.due_s = due_s
        self._pending.append(item)
        self._pending_bytes += size_bytes
        if self._pending_bytes >= PARCEL_BYTES:
            self._agenda.due_s = 0.0

    def count(self, entries: int) -> None:
        """Count writes that are acknowledged before the other process has them."""
        self.entries += entries
        if entries > self._largest:
            self._largest = entries
        if self._allowance <= self.entries:
            self._check_gates()

    def on_full(self, outlet: CopyOutlet) -> None:
        """Pass on that a copy's window is full."""
        self._on_full(outlet)

    def hurry(self) -> None:
        """Somebody waits."""
        self.is_urgent = True
        self._agenda.due_s = 0.0

    def want(self, entries: int) -> None:
        """Ask for room: so many writes wait."""
        self.hurry()
        if self.room < entries:
            self._wanted = max(self._wanted, entries)

    def settle(self) -> Callable[[], bool]:
        """Have nothing at risk, not even by allowance; return what tells whether it was so.

        If others write meanwhile, theirs is what may be lost, and nobody waits for that.
        """
        entries, count = self.entries, self._settled_count
        told = (self._known_allowance, *(sent.allowance for sent in self._unacked))
        if max(told) <= entries and not self.at_risk:
            return at_once
        self._is_settling = True
        self.hurry()
        return lambda: self._settled_count > count or self.entries > entries or not self.outlets

    # -- sending --------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when `tick` has something to do; None: not before something happens."""
        dues = []
        may_flush = not self._sent.is_full
        if may_flush and (self.is_urgent or self._pending_bytes >= PARCEL_BYTES):
            return 0.0
        if may_flush and self._pending:
            dues.append(self._pending_since_s + self.options.flush_interval_s)
        if self._unacked:
            dues.append(self._sent.resend_due_s)
            if not self.is_late:
                dues.append(self._unacked[0].sent_s + self.options.window_age_max_s)
        if may_flush and (back_due_s := self._back_due_s) is not None:
            dues.append(back_due_s)
        return min(dues, default=None)

    @property
    def _back_due_s(self) -> float | None:
        """When the allowance is to be taken back, if nothing happens before."""
        told = self._unacked[-1].allowance if self._unacked else self._known_allowance
        if told <= self.entries or told > self._allowance or self._wanted or self.at_risk:
            return None  # Nothing is allowed, or more will be in a moment, or it is in use.
        if not self._is_settling:
            is_quiet = not self._unacked and not self._pending
            return self._written_s + IDLE_S if is_quiet else None
        if self.entries == self._raised_at:
            return self._raised_s + self.options.flush_interval_s
        return 0.0

    def tick(self, now_s: float) -> None:
        """Send what is due, note what is late."""
        is_due = (
            self.is_urgent
            or self._pending_bytes >= PARCEL_BYTES
            or now_s >= self._pending_since_s + self.options.flush_interval_s
        )
        if self._wanted and self._unacked:
            on_its_way = self._unacked[-1].allowance - self.entries
            self._wanted = 0 if on_its_way >= self._wanted else self._wanted
        back_due_s = self._back_due_s
        is_taken_back = back_due_s is not None and now_s >= back_due_s
        if not self._sent.is_full and (is_taken_back or self._wanted or (self._pending and is_due)):
            if is_taken_back:
                self._margin.take_back(is_idle=not self._is_settling)
            self._flush(now_s)
        self.is_urgent = False
        if self._unacked:
            if not self.is_late and self._sent.is_old(self.options.window_age_max_s, now_s):
                self.is_late = True
                self._check_gates()
            self.outgoing += self._sent.resend_late(now_s)

    def _flush(self, now_s: float) -> None:
        items, self._pending = self._pending, []
        self._number += 1
        if self.entries > self._last_flush_entries or self._wanted:
            self._written_s = now_s
            if self._wanted:  # It was too small: somebody waits.
                self._margin.grow(self._wanted)
                self._raised_by = self._number
        self._last_flush_entries = self.entries
        self._wanted = 0
        allowance = self.entries + self._margin.size
        body = encode_stream(Parcel(self._number, self.entries, allowance, items, self.stream))
        marks = []
        for outlet in self.touched:
            marks.append((outlet, outlet.held.sequence, outlet.told_operations, outlet.told_bytes))
        self.touched = {}
        self._unacked.append(
            SentParcel(
                self._number, body, now_s, self.entries, allowance, self._pending_fill_bytes,
                marks, self._pending_filled,
            )
        )  # fmt: skip
        self._pending_bytes = self._pending_fill_bytes = 0
        self._pending_filled = []
        self.outgoing.append(body)
        if allowance < self._allowance:
            self._allowance = allowance
            self._check_gates()

    # -- receipts -------------------------------------------------------------------------

    def receive(self, receipt: Receipt, now_s: float) -> list[CopyOutlet]:
        """Take a receipt; return the copies of which something was receipted."""
        if receipt.stream != self.stream or receipt.number > self._number:
            return []
        if receipt.is_gap and receipt.number < self.receipted_number:
            return self._start_anew()
        concerned: list[CopyOutlet] = []
        broken = set(receipt.broken)
        for sent in self._sent.take(receipt.number):
            self._fill_bytes -= sent.fill_bytes
            self._adapt(sent, now_s)
            self._acked_entries = sent.entries
            for outlet, sequence, operations, size_bytes in sent.marks:
                if outlet.held.partition_id not in broken:
                    outlet.acked = max(outlet.acked, sequence)
                outlet.acked_operations, outlet.acked_bytes = operations, size_bytes
                concerned.append(outlet)
            for outlet in sent.filled:
                if outlet.held.partition_id not in broken:
                    outlet.state = CopyState.COMPLETE
                    self.completed.append(outlet)
                    concerned.append(outlet)
        if receipt.is_gap:
            pause_s = self.options.flush_interval_s
            self.outgoing += self._sent.resend_after_gap(now_s, pause_s)
        self.is_late = self._sent.is_old(self.options.window_age_max_s, now_s)
        self._check_gates()
        return concerned

    def _start_anew(self) -> list[CopyOutlet]:
        """The receiver has forgotten this stream: begin another, and fill all its copies."""
        self.stream = max(self.stream + 1, int(self._clock() * 1e6))
        self._number = 0
        self._sent.clear()
        self._pending, self._pending_filled, self.touched = [], [], {}
        self._pending_bytes = self._pending_fill_bytes = self._fill_bytes = 0
        self._acked_entries = self.entries
        self._allowance = self._known_allowance = min(self._allowance, self.entries)
        self._margin.take_back(is_idle=False)
        self._settled_count += 1  # Whoever knows of no parcel has been allowed nothing.
        self._is_settling = self.is_late = False
        outlets = list(self.outlets.values())
        for outlet in outlets:
            outlet.acked_operations, outlet.acked_bytes = outlet.told_operations, outlet.told_bytes
            outlet.begun_in = outlet.settled_by = 0  # Numbers of parcels of the former stream.
            self.refill(outlet)
        self.has_restarted = True
        self._check_gates()
        return outlets

    def _check_gates(self) -> None:
        if self.is_shut != self._was_shut:
            self._was_shut = self.is_shut
            self._on_gates(self)

    def _adapt(self, sent: SentParcel, now_s: float) -> None:
        """The receiver has this parcel's allowance: it counts, unless a later one is lower."""
        later = min((other.allowance for other in self._unacked), default=sent.allowance)
        self._allowance = min(sent.allowance, later)
        self._known_allowance = sent.allowance
        if sent.number == self._raised_by:
            self._raised_s, self._raised_at = now_s, self.entries
        if sent.allowance == sent.entries:
            self._settled_count += 1
            self._is_settling = False
        used = self.entries - self._acked_entries  # Since the flush before that one.
        self._margin.follow(used, self._largest, is_filling=self._fill_bytes > 0)
        self._largest = self._largest * 7 // 8

    # -- fills ----------------------------------------------------------------------------

    def attach(self, outlet: CopyOutlet) -> None:
        """Send to this copy: all of it first, unless it is complete."""
        self.outlets[outlet.held.partition_id] = outlet
        if not outlet.is_complete:
            self.fills.add(outlet)

    def drop(self, outlet: CopyOutlet) -> None:
        """Send nothing more to this copy."""
        if self.outlets.get(outlet.held.partition_id) is outlet:
            del self.outlets[outlet.held.partition_id]
        self._stop_filling(outlet)

    def refill(self, outlet: CopyOutlet) -> None:
        """Fill a copy from the beginning."""
        self._stop_filling(outlet)
        self.fills.add(outlet)

    def _stop_filling(self, outlet: CopyOutlet) -> None:
        outlet.state = CopyState.WAITING
        self.fills.remove(outlet)
        for filled in (self._pending_filled, *(sent.filled for sent in self._unacked)):
            if outlet in filled:
                filled.remove(outlet)

    @property
    def has_fill_to_send(self) -> bool:
        """Whether `pump` would send something."""
        return self.fills.has_work and self._fill_bytes < self.options.fill_bytes_in_flight_max

    def pump(self) -> CopyOutlet | None:
        """Send the next part of a fill; return the copy if its fill begins now."""
        part = self.fills.next_part()
        self.add(part.item, part.size_bytes)
        self._pending_fill_bytes += part.size_bytes
        self._fill_bytes += part.size_bytes
        if not self.has_fill_to_send:
            self.hurry()  # Nothing more comes to go with it.
        if isinstance(part.item, FillBegin):
            part.outlet.state = CopyState.FILLING
            part.outlet.begun_in = self._number + 1
            part.outlet.begun_epoch = part.outlet.held.epoch
            return part.outlet
        if isinstance(part.item, FillEnd):
            self.touched[part.outlet] = None
            self._pending_filled.append(part.outlet)
        return None
