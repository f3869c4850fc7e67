"""Make or refresh the checkout's .venv; called by bin/setup_venv when it is not fresh.

Usage: setup_venv.py run|test ("test" adds what the tests need)

Not responsible for: finding an interpreter (bin/setup_venv), deciding in the usual case that
nothing is to be done (bin/grid, bin/test).

Theory of operation. One process at a time works, under a lock that outlives it: the lock is
inherited by pip, so that an orphaned pip still holds it. ``.venv/built_for`` names the folder the
environment was built for; it is removed before anything is touched and written last. An
environment without it was left half done and is built anew, whatever interrupted it. Beside it
lie copies of the pyproject.toml it was installed from, one per purpose.

Departures and omissions. Standard library only: it runs before anything is installed. The
.venv is not built elsewhere and renamed, since its scripts contain its path.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import filecmp
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG_LINES_SHOWN = 12
LOG_COLUMNS_SHOWN = 160
"""pip lists every version there ever was on one line; the log file has it all."""
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as a shell reports a program that Ctrl-C ended."""


class SetupError(Exception):
    """The environment could not be made; the text is for the user."""


class Environment:
    """The .venv of one checkout.

    Attributes:
        root: the checkout.
        path: its .venv.
        log: what venv and pip said during the last installation.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".venv"
        self.log = self.path / "install.log"
        self._built_for = self.path / "built_for"
        self._discarded = root / ".venv.discarded"

    def is_fresh(self, purpose: str) -> bool:
        """Tell whether nothing is to be done; the same question bin/grid asks without Python."""
        stamp = self._stamp(purpose)
        return (
            self.is_whole()
            and stamp.is_file()
            and filecmp.cmp(self.root / "pyproject.toml", stamp, shallow=False)
        )

    def is_whole(self) -> bool:
        """Tell whether an installation was completed, here, and its interpreter still exists."""
        try:
            built_for = self._built_for.read_text().removesuffix("\n")
        except OSError:
            return False
        return built_for == str(self.root) and os.access(self.path / "bin" / "python", os.X_OK)

    def begin(self) -> None:
        """Remove what says that this environment is whole; if it is not, remove all of it."""
        if self._discarded.exists():
            shutil.rmtree(self._discarded)
        if self.is_whole():
            self._built_for.unlink()
        elif self.path.is_dir() and not self.log.is_file() and any(self.path.iterdir()):
            # Somebody else's work; deleting it is not for us to decide.
            raise SetupError(f"{self.path} was not made by bin/grid; rename or remove it")
        elif self.path.exists():
            # Renamed first: half deleted, it would look like somebody else's.
            self.path.rename(self._discarded)
            shutil.rmtree(self._discarded)
        self.path.mkdir(exist_ok=True)
        self.log.write_bytes(b"")

    def finish(self, purpose: str, pyproject: bytes) -> None:
        """Record that the environment is whole again."""
        for stale in self.path.glob("pyproject.*"):
            stale.unlink()
        # What suffices for the tests suffices for running.
        for served in {purpose, "run"}:
            self._stamp(served).write_bytes(pyproject)
        complete = self.path / "built_for.new"
        complete.write_text(f"{self.root}\n")
        complete.replace(self._built_for)

    def _stamp(self, purpose: str) -> Path:
        return self.path / f"pyproject.{purpose}"


def commands(environment: Environment, purpose: str) -> list[list[str]]:
    """Return the programs to run, in order."""
    python = environment.path / "bin" / "python"
    what = f"{environment.root}[test]" if purpose == "test" else str(environment.root)
    pip = [str(python), "-I", "-m", "pip", "install", "--editable", what]
    # Few retries: without a network the user should hear of it within seconds, not minutes.
    pip += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2"]
    pip += ["--root-user-action=ignore"]
    if python.exists():
        return [pip]
    # The real path has the version in its name (python3.11). When the system moves on to another
    # version it disappears, and that is noticed; /usr/bin/python3 would silently change instead.
    interpreter = os.path.realpath(sys.executable)
    return [[interpreter, "-I", "-m", "venv", str(environment.path)], pip]


def install(environment: Environment, purpose: str) -> None:
    """Bring the environment up to date, unless another process has just done so.

    Raises: SetupError, with what to tell the user.
    """
    with locked(environment.root) as lock:
        if environment.is_fresh(purpose):
            return
        if environment.is_whole():
            for_what = "for the tests" if purpose == "test" else "to pyproject.toml"
            progress = f"grid: updating .venv {for_what} ..."
        elif environment.path.exists():
            progress = "grid: .venv is not complete, installing anew (about 20 s) ..."
        else:
            progress = "grid: first use, installing into .venv (about 20 s) ..."
        # Read first: an edit during the installation must lead to another one.
        pyproject = (environment.root / "pyproject.toml").read_bytes()
        environment.begin()
        say(progress)
        for command in commands(environment, purpose):
            run_logged(command, environment, lock)
        environment.finish(purpose, pyproject)


def run_logged(command: list[str], environment: Environment, lock: int) -> None:
    """Run one program, its output into the log.

    Raises: SetupError with the end of the log if it fails.
    """
    with environment.log.open("ab") as log:
        log.write(f"$ {' '.join(command)}\n".encode())
        log.flush()
        # A process group of its own: on Ctrl-C all of it can be ended at once. Left to themselves,
        # pip's own children would go on writing for a moment after pip is gone.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=environment.root,
            pass_fds=[lock],
            process_group=0,
        ) as process:
            try:
                exit_code = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    if exit_code != 0:
        lines = environment.log.read_text(errors="replace").splitlines()
        raise SetupError(
            "\n".join(
                [
                    "installing failed (it needs PyPI or a mirror of it); the whole story is in "
                    f"{environment.log}, its end is:",
                    *(f"  {line[:LOG_COLUMNS_SHOWN]}" for line in lines[-LOG_LINES_SHOWN:]),
                ]
            )
        )


@contextlib.contextmanager
def locked(root: Path) -> Iterator[int]:
    """Hold the lock of this checkout; gives its descriptor, for children to inherit.

    flock, not lockf: it belongs to the open file, so that a child that inherited it holds it too.
    The file is never deleted, or two processes might lock two files of one name.
    """
    lock = os.open(root / ".venv.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("grid: waiting for another installation into .venv ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def say(line: str) -> None:
    """Tell the user; stdout belongs to the program that runs afterwards."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser(prog="setup_venv")
    parser.add_argument("purpose", choices=["run", "test"])
    purpose: str = parser.parse_args(arguments).purpose
    try:
        install(Environment(root), purpose)
    except SetupError as error:
        say(f"grid: {error}")
        return EXIT_FAILED
    except OSError as error:
        say(f"grid: cannot install into {root / '.venv'}: {error}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        say("grid: installing interrupted; the next run begins anew")
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
