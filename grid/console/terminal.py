"""Consoles that own an output stream: the live screen, and plain lines where there is none.

And the one line of a command that waits (`ProgressLine`).

Runs in: supervisor, launcher, or the command that watches from elsewhere; starts no thread.

Not here: the picture itself (``view.py``), what keys are typed (``keyboard.py``), and the decision
when to refresh.

Departures: rich's ``Live`` starts a thread and replaces ``sys.stdout`` unless told not to. The
supervisor forks, so here it must do neither: a child would inherit a lock held by nobody, or
draw its output into the parent's screen.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import IO, Protocol, TextIO

from rich.console import Console, ConsoleDimensions
from rich.live import Live

from grid.console.keyboard import Keyboard, open_keyboard
from grid.console.model import ConsoleModel, Event, one_line
from grid.console.view import render

LINE_CHARACTERS_MAX = 900
"""Of a plain line, so that it fits a pipe's guaranteed room even at four bytes each."""

_CLEAR_LINE = "\r\x1b[K"
_LEAVE_SCREEN, _ENTER_SCREEN = b"\x1b[?1049l\x1b[?25h", b"\x1b[?1049h\x1b[?25l"
"""Alternate screen off and cursor on, and the other way round."""

COLUMNS_MAX, ROWS_MAX = 500, 200
"""What is drawn on at most. A terminal may claim 65,535 of each, and rich fills all of it."""

SUMMARY_INTERVAL_S = 10.0
"""Plain output goes to log files: a summary a second would bury the events."""


class NodeConsole(Protocol):
    """What the supervisor needs of a console, whichever kind it got."""

    keys: Keyboard | None
    """Where a person can type, once it is started."""

    is_live: bool
    """Whether a person watches it, rather than a log is written."""

    def start(self) -> None:
        """Take the terminal."""

    def event(self, event: Event) -> None:
        """Show one event, at once or at the next refresh."""

    def refresh(self, model: ConsoleModel) -> None:
        """Show the model as it is now; called once a second."""

    def stop(self) -> None:
        """Give the terminal back."""


class BoundedConsole(Console):
    """rich's, for terminals of any size."""

    @property  # type: ignore[misc]  # Nobody sets it here.
    def size(self) -> ConsoleDimensions:
        """The size of the terminal, or of as much of it as is drawn on."""
        width, height = super().size
        return ConsoleDimensions(min(width, COLUMNS_MAX), min(height, ROWS_MAX))


def open_console(stream: TextIO, keys: TextIO | None = None) -> NodeConsole:
    """Return the console that suits `stream`: live on a capable terminal, else plain lines.

    A live one listens to `keys`, usually standard input, if that is a terminal.
    """
    if stream.isatty():
        # Forced: rich would let FORCE_COLOR or TTY_INTERACTIVE decide what is a terminal.
        console = BoundedConsole(
            file=stream, force_terminal=True, force_interactive=True, highlight=False
        )
        if not console.is_dumb_terminal:
            return LiveConsole(console, open_keyboard(keys))
    return PlainConsole(stream)


class LiveConsole:
    """The live screen. Starts no thread and leaves ``sys.stdout`` alone.

    It draws on the terminal's alternate screen, so that a resize leaves no torn lines behind and
    the user's scrollback stays as it was; ``stop`` prints the last state once on the normal
    screen. The rejected alternative, redrawing in place, counts lines upwards and goes wrong
    when the terminal rewraps them.

    Ctrl-Z gives the terminal to the shell until the process goes on.

    A terminal that does not take output (stopped by Ctrl-S, a stalled ssh) costs frames, not
    time; one that is gone is ignored. The node matters more than its picture.
    """

    def __init__(self, console: Console, keys: Keyboard | None = None) -> None:
        """Prepare to draw on `console`; nothing is written yet."""
        self._console = console
        self.keys = keys
        self.is_live = True
        self._model: ConsoleModel | None = None
        self._is_terminal_gone = False
        self._former_suspend: Callable[[int, FrameType | None], object] | int | None = None
        self._live = Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        """Switch to the alternate screen, and have keys come one by one."""
        if self.keys is not None:
            self.keys.start()
        _replace_unencodable(self._console.file)
        self._guarded(self._live.start)
        if self._console.file.isatty():
            self._former_suspend = signal.signal(signal.SIGTSTP, self._suspend)

    def event(self, event: Event) -> None:
        """Do nothing: the model holds the event and the next refresh shows it."""

    def refresh(self, model: ConsoleModel) -> None:
        """Draw `model` in the terminal's present size, or skip when the terminal is stuck."""
        self._model = model
        if self.keys is not None:
            self.keys.keep()
        if _takes_output(self._console.file):
            width, height = self._console.size
            self._guarded(lambda: self._live.update(render(model, width, height), refresh=True))

    def stop(self) -> None:
        """Restore the terminal, then print the last state where it stays visible.

        May wait for a terminal that was stopped by Ctrl-S: stop the children first.
        """
        if self.keys is not None:
            self.keys.stop()
        if not self._live.is_started:
            return
        if self._former_suspend is not None:
            signal.signal(signal.SIGTSTP, self._former_suspend)
        self._guarded(self._live.stop)
        if self._model is not None:
            width, height = self._console.size
            self._model.hint = ""
            # One row is left for the shell's prompt, else the header scrolls away.
            final = render(self._model, width, height - 1)
            self._guarded(lambda: self._console.print(final))

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Give the terminal back while this process is stopped.

        It may interrupt a picture that is being written, so it goes past the stream's buffer.
        """
        if self.keys is not None:
            self.keys.stop()
        self._write_at_once(_LEAVE_SCREEN)
        # By the default action, which stops only if there is a shell to let it go on again.
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        if self.keys is not None:
            self.keys.start()
        self._write_at_once(_ENTER_SCREEN)

    def _write_at_once(self, data: bytes) -> None:
        if _takes_output(self._console.file):
            with contextlib.suppress(OSError):
                os.write(self._console.file.fileno(), data)

    def _guarded(self, draw: Callable[[], None]) -> None:
        """Run `draw`, and never again once the terminal has gone."""
        if self._is_terminal_gone:
            return
        try:
            draw()
        except OSError:
            self._is_terminal_gone = True


class PlainConsole:
    """Lines for a log file or a pipe: every event at once, a summary now and then.

    A reader that has gone (``grid up | head``) is ignored; the node goes on. One that reads
    nothing costs lines, never time: they are dropped, and counted once it reads again.
    """

    def __init__(
        self,
        stream: TextIO,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_text: Callable[[], str] = lambda: time.strftime("%H:%M:%S"),
    ) -> None:
        """Write to `stream`; the clocks give the summaries their pace and their time."""
        self.keys: Keyboard | None = None
        self.is_live = False
        self._stream = stream
        self._monotonic_s = monotonic_s
        self._wall_text = wall_text
        self._summary = ""
        self._summary_s = float("-inf")
        self._dropped_count = 0

    def start(self) -> None:
        """Make sure that no character can stop the output."""
        _replace_unencodable(self._stream)

    def event(self, event: Event) -> None:
        """Print ``HH:MM:SS LEVEL text`` at once."""
        self._write(str(event))

    def print(self, text: str) -> None:
        """Print a line as it is; a long one goes on in the next."""
        for start in range(0, len(text), LINE_CHARACTERS_MAX):
            self._write(text[start : start + LINE_CHARACTERS_MAX])

    def refresh(self, model: ConsoleModel) -> None:
        """Print the summary if it is news and the last one is old enough."""
        if model.status is None or model.summary == self._summary:
            return
        now_s = self._monotonic_s()
        if now_s - self._summary_s < SUMMARY_INTERVAL_S:
            return
        self._summary, self._summary_s = model.summary, now_s
        self._write(str(Event(self._wall_text(), "INFO", self._summary)))

    def stop(self) -> None:
        """Say what was dropped; every line was flushed when it was written."""
        self._write()

    def _write(self, *lines: str) -> None:
        # A pipe that is ready takes a line of up to 4 KiB without waiting (pipe(7)).
        if not _takes_output(self._stream):
            self._dropped_count += len(lines)
            return
        try:
            if self._dropped_count:
                text = f"{self._dropped_count} lines were dropped: nobody read this output"
                self._stream.write(f"{Event(self._wall_text(), 'WARNING', text)}\n")
                self._dropped_count = 0
            for line in lines:
                self._stream.write(f"{line[:LINE_CHARACTERS_MAX]}\n")
            self._stream.flush()
        except OSError:
            return


class ProgressLine:
    """One line of a command that waits, rewritten in place; nothing where no person watches."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to `stream`, usually standard error: the answer belongs on standard output."""
        self._stream = stream if stream is not None and stream.isatty() else None
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._stream is None or text == self._shown:
            return
        self._shown = text
        columns = shutil.get_terminal_size().columns
        self._stream.write(f"{_CLEAR_LINE}{one_line(text)[: columns - 1]}")
        self._stream.flush()

    def __enter__(self) -> ProgressLine:
        """Return the line itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the line back."""
        if self._stream is not None and self._shown:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()


def _replace_unencodable(stream: IO[str]) -> None:
    """Let a terminal that is not UTF-8 show ``?`` where the node would else die of a bar."""
    if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors="replace")


def _takes_output(stream: IO[str]) -> bool:
    """Whether `stream` would accept a frame now; what is no file always does."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        # No descriptor behind it, or a closed one: writing will tell.
        return True
