"""One generation of a node's processes: network, storage x N, worker x W.

Responsible for: their pipes, forking them in order, replacing a worker, killing all.

Not responsible for: deciding when (``supervisor.py``).
"""

from __future__ import annotations

import select
import signal
import socket
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from grid.process.network import NetworkPipes, run_network
from grid.process.settings import NodeSettings
from grid.process.storage import run_storage
from grid.process.worker import run_worker
from grid.supervisor.spawn import Child, fork
from grid.wire.catalog import encode
from grid.wire.family import SupervisorToNetwork


class Family:
    """The children of a supervisor that live and die together."""

    def __init__(self, settings: NodeSettings, log_fd: int) -> None:
        """Fork storage processes and network process; workers follow by `start_workers`."""
        self._settings = settings
        self._log_fd = log_fd
        self.control, network_end = Pipe()
        self._pass_workers, passed_workers = _seqpacket_pair()
        controls: list[Connection] = []
        hand_overs: list[socket.socket] = []
        self.storages: list[Child] = []
        self.workers: list[Child] = []
        for index in range(settings.storage_processes):
            network_control, storage_control = Pipe()
            network_hand_over, storage_hand_over = _seqpacket_pair()
            self.storages.append(self._fork_storage(index, storage_control, storage_hand_over))
            storage_control.close()
            storage_hand_over.close()
            controls.append(network_control)
            hand_overs.append(network_hand_over)
        pipes = NetworkPipes(network_end, controls, hand_overs, passed_workers)
        ends: list[Connection | socket.socket] = [
            network_end,
            passed_workers,
            *controls,
            *hand_overs,
        ]
        self.network = fork(
            "network",
            lambda: run_network(settings, pipes),
            keep_fds=[end.fileno() for end in ends],
            log_fd=log_fd,
        )
        for end in ends:
            end.close()

    @property
    def children(self) -> list[Child]:
        """Every child that has not been reaped."""
        everyone = [self.network, *self.storages, *self.workers]
        return [child for child in everyone if child.exit_code is None]

    def start_workers(self, port: int) -> None:
        """Fork the worker pool, once the node's port is known."""
        for _ in range(self._settings.workers):
            self.start_worker(port)

    def start_worker(self, port: int) -> Child:
        """Fork one worker and pass its pipe to the network process."""
        network_end, worker_end = Pipe()
        settings = self._settings
        worker = fork(
            "worker",
            lambda: run_worker(worker_end, port, settings),
            keep_fds=[worker_end.fileno()],
            log_fd=self._log_fd,
        )
        try:
            fds = [network_end.fileno(), worker.pidfd]
            socket.send_fds(self._pass_workers, [worker.pid.to_bytes(8, "big")], fds)
        except OSError:
            worker.send_signal(signal.SIGKILL)  # The network process is gone; so is the node.
        network_end.close()
        worker_end.close()
        self.workers.append(worker)
        return worker

    def tell_network(self, message: SupervisorToNetwork) -> None:
        """Send to the network process.

        Nothing is sent if it is gone, which is noticed elsewhere, or if it does not read: the
        supervisor must never wait for it.
        """
        try:
            _, writable, _ = select.select([], [self.control], [], 0)
            if writable:
                self.control.send_bytes(encode(message))
        except OSError:
            return

    def forget(self, worker: Child) -> None:
        """Drop a worker that has been reaped."""
        self.workers.remove(worker)

    def kill(self) -> None:
        """End everybody at once."""
        for child in self.children:
            child.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the supervisor's ends of the pipes."""
        self.control.close()
        self._pass_workers.close()

    def _fork_storage(self, index: int, control: Connection, hand_over: socket.socket) -> Child:
        storage, replication = self._settings.storage, self._settings.replication
        return fork(
            f"storage-{index}",
            lambda: run_storage(control, hand_over, storage, replication),
            keep_fds=[control.fileno(), hand_over.fileno()],
            log_fd=self._log_fd,
        )


def _seqpacket_pair() -> tuple[socket.socket, socket.socket]:
    """Return a pair for descriptors: separate from the message pipes, which they would upset."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
