"""joblib on a real cluster of two nodes with two workers each."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from multiprocessing import TimeoutError as JobTimeoutError
from pathlib import Path

import pytest
from joblib import Parallel, delayed, effective_n_jobs, parallel_config

import grid.joblib
from grid import ConnectError, Grid, SerializationError
from grid.api import LocalCluster, local_cluster
from tests.client.gate import Gate, pass_gate
from tests.client.meeting import meet
from tests.processes.nodes import ask_until

WORKERS = 4


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[LocalCluster]:
    with local_cluster(2, workers=2, storage_processes=1) as cluster:
        yield cluster


@pytest.fixture
def client(running_cluster: LocalCluster) -> Iterator[Grid]:
    with running_cluster.client() as connected:
        yield connected


@pytest.fixture
def backend(client: Grid) -> Iterator[None]:
    """Joblib uses the cluster, with all defaults."""
    grid.joblib.register(client)
    with parallel_config(backend="grid"):
        yield


def pids(n_jobs: int, count: int) -> set[int]:
    """Return the processes that joblib's calls run in."""
    return set(Parallel(n_jobs=n_jobs)(delayed(os.getpid)() for _ in range(count)))


def span(duration_s: float) -> tuple[float, float]:
    """Return when this call began and ended, by the machine's clock. Runs in: worker."""
    begin_s = time.monotonic()
    time.sleep(duration_s)
    return begin_s, time.monotonic()


def mark_slowly(path: Path) -> None:
    """Take long enough that many of these are not started when something fails. Runs in: worker."""
    time.sleep(0.02)
    path.touch()


def most_at_once(spans: list[tuple[float, float]]) -> int:
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


def fail(number: int) -> None:
    raise KeyError(number)


@pytest.mark.usefixtures("backend")
def test_results_come_in_the_order_of_the_calls_from_other_processes():
    base = 10
    calls = (delayed(lambda n: base + n)(n) for n in range(2000))
    assert Parallel()(calls) == [10 + n for n in range(2000)]
    assert os.getpid() not in pids(-1, 8)


@pytest.mark.usefixtures("backend")
def test_all_workers_of_the_cluster_run_calls_at_the_same_time(tmp_path: Path):
    calls = [delayed(meet)(tmp_path, str(number), WORKERS) for number in range(WORKERS)]
    assert len(set(Parallel()(calls))) == WORKERS


@pytest.mark.usefixtures("backend")
def test_n_jobs_counts_the_workers_of_the_cluster_as_joblib_counts_cores():
    jobs = {n: effective_n_jobs(n) for n in (-1, -2, -4, -99, 1, 3, 50)}
    assert jobs == {-1: WORKERS, -2: WORKERS - 1, -4: 1, -99: 1, 1: 1, 3: 3, 50: 50}
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)([delayed(os.getpid)()])


@pytest.mark.usefixtures("backend")
def test_fewer_jobs_than_workers_are_no_more_at_the_same_time():
    spans = Parallel(n_jobs=2, pre_dispatch="all")(delayed(span)(0.05) for _ in range(12))
    assert most_at_once(spans) <= 2
    assert most_at_once(Parallel(pre_dispatch="all")(delayed(span)(0.05) for _ in range(40))) > 2


@pytest.mark.usefixtures("backend")
def test_one_job_runs_in_this_process_as_joblib_wants_it():
    assert pids(1, 3) == {os.getpid()}


@pytest.mark.usefixtures("backend")
def test_an_exception_comes_back_as_itself_with_where_it_was_raised():
    with pytest.raises(KeyError, match="7") as caught:
        Parallel()(delayed(fail)(7) for _ in range(5))
    assert any("raised on node local-" in note for note in caught.value.__notes__)


@pytest.mark.usefixtures("backend")
def test_after_a_failure_no_more_is_started_and_the_next_calls_run(tmp_path: Path):
    with Parallel(pre_dispatch="all", batch_size=1) as parallel:
        marks = [delayed(mark_slowly)(tmp_path / str(number)) for number in range(300)]
        with pytest.raises(KeyError):
            parallel([delayed(fail)(1), *marks])
        assert parallel(delayed(abs)(-n) for n in range(20)) == list(range(20))
    assert len(list(tmp_path.iterdir())) < 300


@pytest.mark.usefixtures("backend")
def test_a_call_whose_worker_dies_runs_again(tmp_path: Path):
    def die_once(number: int) -> int:
        marker = tmp_path / "died"
        if number == 5 and not marker.exists():
            marker.touch()
            os._exit(1)
        return number

    assert Parallel()(delayed(die_once)(number) for number in range(20)) == list(range(20))
    assert (tmp_path / "died").exists()


@pytest.mark.usefixtures("backend")
def test_a_timeout_is_raised_while_calls_run_and_the_workers_are_used_again(tmp_path: Path):
    gate = Gate(tmp_path)
    with pytest.raises(JobTimeoutError):
        Parallel(timeout=0.5)(delayed(pass_gate)(gate.path) for _ in range(20))
    gate.open()
    (tmp_path / "all").mkdir()
    calls = [delayed(meet)(tmp_path / "all", str(n), WORKERS) for n in range(WORKERS)]
    assert len(set(Parallel(timeout=60)(calls))) == WORKERS


@pytest.mark.usefixtures("backend")
def test_generators_give_results_as_they_come_and_two_may_be_open(tmp_path: Path):
    gate = Gate(tmp_path)
    # One only: two could keep all workers of one node, where the numbers would wait behind them.
    slow = Parallel(return_as="generator")([delayed(pass_gate)(gate.path)])
    numbers = Parallel(return_as="generator_unordered")(delayed(abs)(-n) for n in range(50))
    assert sorted(numbers) == list(range(50))
    gate.open()
    assert list(slow) == [None]


@pytest.mark.usefixtures("backend")
def test_parallel_inside_a_call_is_sequential():
    for inner in Parallel()(delayed(pids)(-1, 5) for _ in range(6)):
        assert len(inner) == 1
        assert os.getpid() not in inner


@pytest.mark.usefixtures("backend")
def test_the_backend_inside_a_task_of_the_cluster_does_not_wait_for_workers(client: Grid):
    def ask_the_cluster() -> bool:
        grid.joblib.register()
        with parallel_config(backend="grid", n_jobs=-1):
            return pids(-1, 5) == {os.getpid()}

    with client.executor() as pool:
        futures = [pool.submit(ask_the_cluster) for _ in range(2 * WORKERS)]
        assert all(future.result(timeout=60) for future in futures)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("position", [0, 99])  # submitted at once; when earlier calls are done
def test_an_argument_that_cannot_travel_is_told(position: int):
    calls = [delayed(repr)(n if n != position else threading.Lock()) for n in range(100)]
    with pytest.raises(SerializationError):
        Parallel(batch_size=1)(calls)


@pytest.mark.usefixtures("backend")
def test_an_exception_of_the_calls_generator_is_told():
    def calls():
        yield from (delayed(abs)(n) for n in range(100))
        raise LookupError("no more calls")

    with pytest.raises(LookupError, match="no more calls"):
        Parallel(batch_size=1)(calls())


def test_without_a_client_it_connects_and_closes_what_it_opened(
    running_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    opened: list[Grid] = []

    def connect() -> Grid:
        opened.append(running_cluster.client())
        return opened[-1]

    monkeypatch.setattr("grid.joblib.connect", connect)
    grid.joblib.register()
    with parallel_config(backend="grid"):
        assert pids(1, 1) == {os.getpid()}
        assert opened == []
        assert effective_n_jobs(-1) == WORKERS
        assert Parallel()(delayed(abs)(-n) for n in range(9)) == list(range(9))
        with Parallel() as parallel:
            for _ in range(3):
                assert parallel(delayed(abs)(-n) for n in range(9)) == list(range(9))
        with pytest.raises(KeyError):
            Parallel()(delayed(fail)(1) for _ in range(9))
        assert pids(-WORKERS, 1) == {os.getpid()}
    assert len(opened) == 5
    assert all(client.is_closed for client in opened)
    ask_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("grid-")])


def test_a_client_that_was_given_stays_open_and_may_be_given_for_a_block(client: Grid):
    grid.joblib.register()
    with parallel_config(backend="grid", client=client, n_jobs=2):
        assert len(pids(-1, 50)) >= 1
    assert not client.is_closed


def test_nobody_to_connect_to_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def connect() -> Grid:
        raise ConnectError("no node")

    monkeypatch.setattr("grid.joblib.connect", connect)
    grid.joblib.register()
    with parallel_config(backend="grid"), pytest.raises(ConnectError):
        Parallel()(delayed(abs)(n) for n in range(3))


@pytest.mark.usefixtures("backend")
def test_scikit_learn_searches_on_the_cluster():
    reason = "scikit-learn (160 MB with scipy) is not installed; `pip install scikit-learn`"
    pytest.importorskip("sklearn", reason=reason)
    datasets = pytest.importorskip("sklearn.datasets")
    model_selection = pytest.importorskip("sklearn.model_selection")
    tree = pytest.importorskip("sklearn.tree")
    x, y = datasets.load_iris(return_X_y=True)
    depths = {"max_depth": [1, 2, 3]}
    search = model_selection.GridSearchCV(tree.DecisionTreeClassifier(random_state=0), depths)
    with parallel_config(backend="sequential"):
        expected = search.fit(x, y).cv_results_["mean_test_score"].tolist()
    found = search.set_params(n_jobs=-1).fit(x, y).cv_results_["mean_test_score"].tolist()
    assert found == expected
