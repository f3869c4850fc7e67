"""bin/grid: quick when there is nothing to do, right when there is; no network is needed here.

Each test has a copy of bin/ in a folder of its own. The environment in it is a stand-in: a shell
script that says how it was called.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
CALLED = 'echo "called: $*"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv is fresh, and whose installer says so if it is called."""
    root = tmp_path / "check out"
    shutil.copytree(ROOT / "bin", root / "bin")
    (root / "pyproject.toml").write_text("[project]\n")
    script(root / "bin" / "setup_venv", 'echo "installer: $*" >&2; exit 7\n')
    make_fresh(root)
    return root


@pytest.fixture
def setup_venv() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_venv", ROOT / "bin" / "setup_venv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never through a link: what it leads to may be a program of this machine.
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(0o755)


def make_fresh(root: Path) -> None:
    script(root / ".venv" / "bin" / "python", CALLED)
    shutil.copy(root / "pyproject.toml", root / ".venv" / "pyproject.run")
    (root / ".venv" / "built_for").write_text(f"{root.resolve()}\n")


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # options vary by test
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )


class TestGrid:
    def test_fresh_environment_is_used_at_once(self, checkout: Path):
        result = run(checkout / "bin" / "grid", "status", "--json", "a b")
        assert result.stdout == "called: -P -m grid status --json a b\n"
        assert result.stderr == ""

    def test_works_from_another_folder_and_through_links(self, checkout: Path, tmp_path: Path):
        elsewhere = tmp_path / "else where"
        elsewhere.mkdir()
        (elsewhere / "absolute").symlink_to(checkout / "bin" / "grid")
        (elsewhere / "relative").symlink_to("absolute")
        assert run("./relative", "up", cwd=elsewhere).stdout == "called: -P -m grid up\n"

    def test_works_when_found_through_path(self, checkout: Path, tmp_path: Path):
        environment = {**os.environ, "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}"}
        result = run("/bin/sh", "-c", "grid up", cwd=tmp_path, env=environment)
        assert result.stdout == "called: -P -m grid up\n"

    def test_works_from_its_own_folder(self, checkout: Path):
        assert run("sh", "grid", "up", cwd=checkout / "bin").stdout == "called: -P -m grid up\n"

    def test_changed_pyproject_calls_the_installer(self, checkout: Path):
        (checkout / "pyproject.toml").write_text("[project]\n# changed\n")
        result = run(checkout / "bin" / "grid", "up")
        assert (result.stdout, result.stderr) == ("", "installer: run\n")
        assert result.returncode == 7

    def test_moved_checkout_calls_the_installer(self, checkout: Path, tmp_path: Path):
        moved = checkout.rename(tmp_path / "moved")
        assert run(moved / "bin" / "grid").stderr == "installer: run\n"

    @pytest.mark.parametrize("lost", ["bin/python", "built_for", "pyproject.run"])
    def test_unfinished_environment_calls_the_installer(self, checkout: Path, lost: str):
        (checkout / ".venv" / lost).unlink()
        assert run(checkout / "bin" / "grid").stderr == "installer: run\n"

    def test_interpreter_that_was_uninstalled_calls_the_installer(self, checkout: Path):
        python = checkout / ".venv" / "bin" / "python"
        python.unlink()
        python.symlink_to("/nowhere/python3.11")
        assert run(checkout / "bin" / "grid").stderr == "installer: run\n"

    def test_program_runs_after_the_installer_has_made_the_environment(self, checkout: Path):
        (checkout / ".venv").rename(checkout / "made")
        body = 'mv "${0%/*}/../made" "${0%/*}/../.venv"\n'
        script(checkout / "bin" / "setup_venv", body)
        assert run(checkout / "bin" / "grid", "up").stdout == "called: -P -m grid up\n"


class TestInterpreterSearch:
    """bin/setup_venv, with a PATH that holds only what the test puts there."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        folder = tmp_path / "path"
        folder.mkdir()
        dirname = shutil.which("dirname")
        assert dirname is not None
        (folder / "dirname").symlink_to(dirname)
        return folder

    @staticmethod
    def search(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(path), **variables}
        return run(ROOT / "bin" / "setup_venv", "run", env=environment)

    def test_no_interpreter_is_one_sentence(self, path: Path):
        result = self.search(path)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert "apt install python3-venv" in result.stderr

    def test_stand_in_that_fails_and_old_python_are_passed_over(self, path: Path):
        script(path / "python3", "echo 'not installed' >&2; exit 127\n")
        script(path / "python3.13", "exit 1\n")
        script(path / "python3.12", CALLED)
        assert self.search(path).stdout.splitlines() == [
            f"called: -I {ROOT}/bin/setup_venv.py run",
        ]

    def test_python_named_in_the_environment_comes_first(self, path: Path):
        script(path / "python3", "echo 'the wrong one'\n")
        script(path / "mine", CALLED)
        assert self.search(path, PYTHON=str(path / "mine")).stdout.startswith("called: -I")

    def test_interpreter_of_this_test_is_good_enough(self, path: Path):
        # Wrapped, so that the search is tried for real and the installation is not.
        body = f'case $2 in -c) exec {sys.executable} "$@" ;; esac\n{CALLED}'
        script(path / "python3", body)
        assert self.search(path).stdout.startswith("called: -I")


# Replaces the commands by ones that need no network, and then is the installer. They append to a
# list, so that the test can count them, and leave an interpreter: a file, not a link to a real one.
INSTALLER = """
import importlib.util, sys
from pathlib import Path
source, root, body = sys.argv[1:]
spec = importlib.util.spec_from_file_location("setup_venv", source)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.commands = lambda environment, purpose: [["/bin/sh", "-c", body]]
sys.exit(module.main(["run"], Path(root)))
"""
INSTALL = """
echo once >>installs
mkdir -p .venv/bin
rm -f .venv/bin/python
echo '#!/bin/sh' >.venv/bin/python
chmod +x .venv/bin/python
"""


def installer(root: Path, body: str = INSTALL) -> list[str]:
    source = str(ROOT / "bin" / "setup_venv.py")
    return [sys.executable, "-I", "-c", INSTALLER, source, str(root), body]


class TestInstaller:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "pyproject.toml").write_text("[project]\n")
        return tmp_path.resolve()

    def test_four_first_calls_at_once_install_once(self, root: Path):
        processes = [
            subprocess.Popen(installer(root), stderr=subprocess.PIPE, text=True) for _ in range(4)
        ]
        messages = [process.communicate()[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0, 0]
        assert (root / "installs").read_text() == "once\n"
        assert "".join(messages).count("first use, installing into .venv") == 1

    def test_environment_it_made_is_fresh_for_the_shell_too(self, root: Path):
        run(*installer(root))
        script(root / ".venv" / "bin" / "python", CALLED)
        shutil.copytree(ROOT / "bin", root / "bin")
        assert run(root / "bin" / "grid").stdout == "called: -P -m grid\n"

    def test_failure_shows_the_end_of_the_log_and_is_repaired_by_the_next_run(self, root: Path):
        failed = run(*installer(root, "touch .venv/half_done; echo no such package; exit 1"))
        assert failed.returncode == 1
        assert (
            "grid: installing failed (it needs PyPI or a mirror of it); the whole story is in"
            in failed.stderr
        )
        assert failed.stderr.endswith("  no such package\n")
        repaired = run(*installer(root))
        assert repaired.returncode == 0
        assert "installing anew" in repaired.stderr
        assert not (root / ".venv" / "half_done").exists()

    def test_changed_pyproject_keeps_what_is_installed(self, root: Path):
        run(*installer(root))
        (root / ".venv" / "kept").touch()
        (root / "pyproject.toml").write_text("[project]\n# changed\n")
        assert "updating .venv to pyproject.toml" in run(*installer(root)).stderr
        assert (root / "installs").read_text() == "once\nonce\n"
        assert (root / ".venv" / "kept").exists()

    def test_killed_installer_leaves_the_lock_to_its_child(self, root: Path):
        # The child answers only after its parent is gone, and holds the lock until it ends.
        release = root / "release"
        os.mkfifo(release)
        body = f"echo started; kill -KILL $PPID; read -r _ <{release}"
        assert run(*installer(root, body)).returncode == -9
        with (root / ".venv.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        release.write_text("go\n")
        assert run(*installer(root)).returncode == 0
        assert "waiting" not in run(*installer(root)).stderr

    def test_environment_of_somebody_else_is_left_alone(self, root: Path):
        mine = root / ".venv" / "mine"
        mine.parent.mkdir()
        mine.touch()
        result = run(*installer(root))
        assert result.returncode == 1
        assert "was not made by bin/grid; rename or remove it" in result.stderr
        assert mine.exists()

    def test_test_environment_serves_running_too(self, root: Path, setup_venv: ModuleType):
        environment = setup_venv.Environment(root)
        environment.begin()
        script(root / ".venv" / "bin" / "python", CALLED)
        environment.finish("test", (root / "pyproject.toml").read_bytes())
        assert environment.is_fresh("test")
        assert environment.is_fresh("run")
        environment.finish("run", (root / "pyproject.toml").read_bytes())
        assert not environment.is_fresh("test")

    def test_tests_get_the_test_extra(self, root: Path, setup_venv: ModuleType):
        environment = setup_venv.Environment(root)
        make, install = setup_venv.commands(environment, "test")
        assert make[1:4] == ["-I", "-m", "venv"]
        assert f"{root}[test]" in install
        assert str(root) in setup_venv.commands(environment, "run")[1]
