"""A blocking caller's handshake with honest and dishonest servers."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading

import pytest

from grid.errors import AuthenticationError, ConnectError, ProtocolError
from grid.transport.blocking import BlockingConnection, connect
from grid.types import Address
from grid.wire.frame import frame
from grid.wire.handshake import HELLO_BYTES, PROOF_BYTES, Answer, Hello, Purpose, Verdict

from .servers import (
    KEYS,
    NODE_ID,
    OTHER_KEYS,
    PATIENCE_S,
    read_exactly,
    read_hello,
    says_nothing_more,
    shake_hands,
    tcp_server,
    unix_server,
)

SOON_S = 0.05
SEND_TIMEOUT = (socket.SOL_SOCKET, socket.SO_SNDTIMEO)


def dial(target: Address | int, *, timeout_s: float = PATIENCE_S) -> BlockingConnection:
    return connect(target, KEYS, Purpose.CONTROL, timeout_s=timeout_s)


def echo_one_frame(sock: socket.socket) -> None:
    size = int.from_bytes(read_exactly(sock, 4), "big")
    sock.sendall(frame(read_exactly(sock, size)))


class TestWelcome:
    def test_tcp_connection_is_welcomed_and_carries_frames(self) -> None:
        hellos: list[Hello] = []

        def script(sock: socket.socket) -> None:
            hellos.append(shake_hands(sock))
            echo_one_frame(sock)

        with tcp_server(script) as address:
            connection = connect(address, KEYS, Purpose.STORAGE, index=3, timeout_s=PATIENCE_S)
            connection.send_frame(b"hello")
            assert connection.receive_frame() == b"hello"
            assert connection.node_id == NODE_ID
            connection.close()
        assert (hellos[0].purpose, hellos[0].index) == (Purpose.STORAGE, 3)

    def test_who_has_a_name_tells_it(self) -> None:
        hellos: list[Hello] = []
        name = b"n" * 16
        with tcp_server(lambda sock: hellos.append(shake_hands(sock))) as address:
            connect(address, KEYS, Purpose.STORAGE, client_id=name, timeout_s=PATIENCE_S).close()
        assert hellos[0].client_id == name

    def test_ids_and_nonces_are_new_for_each_connection(self) -> None:
        hellos: list[Hello] = []
        for _ in range(2):
            with tcp_server(lambda sock: hellos.append(shake_hands(sock))) as address:
                dial(address).close()
        assert hellos[0].client_id != hellos[1].client_id
        assert hellos[0].nonce != hellos[1].nonce

    def test_trusting_unix_socket_needs_no_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def script(sock: socket.socket) -> None:
            shake_hands(sock, verdict=Verdict.TRUSTED)
            echo_one_frame(sock)

        with unix_server(monkeypatch, script) as port:
            connection = connect(port, None, Purpose.CONTROL, timeout_s=PATIENCE_S)
            connection.send_frame(b"hello")
            assert connection.receive_frame() == b"hello"
            connection.close()

    def test_unix_socket_that_challenges_is_no_node_of_ours(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def challenge(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, os.urandom(16)).pack())
            assert says_nothing_more(sock)

        with (
            unix_server(monkeypatch, challenge) as port,
            pytest.raises(ProtocolError, match="CHALLENGE"),
        ):
            dial(port)

    def test_frames_sent_right_behind_the_welcome_are_not_lost(self) -> None:
        def script(sock: socket.socket) -> None:
            shake_hands(sock)
            sock.sendall(frame(b"one") + frame(b"two"))

        with tcp_server(script) as address:
            connection = dial(address)
            assert [connection.receive_frame(), connection.receive_frame()] == [b"one", b"two"]
            connection.close()


class TestSecret:
    def test_client_with_another_secret_is_told_so(self) -> None:
        with (
            tcp_server(lambda sock: shake_hands(sock, keys=OTHER_KEYS)) as address,
            pytest.raises(AuthenticationError, match=f"{address} belongs to another cluster or"),
        ):
            dial(address)

    def test_server_that_cannot_prove_itself_is_left(self) -> None:
        def script(sock: socket.socket) -> None:
            shake_hands(sock, shown_keys=OTHER_KEYS)
            assert says_nothing_more(sock)

        with (
            tcp_server(script) as address,
            pytest.raises(AuthenticationError, match="could not prove"),
        ):
            dial(address)

    def test_server_that_echoes_the_clients_proof_is_left(self) -> None:
        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)).pack())
            sock.sendall(bytes((Verdict.WELCOME,)) + read_exactly(sock, PROOF_BYTES))
            assert says_nothing_more(sock)

        with (
            tcp_server(script) as address,
            pytest.raises(AuthenticationError, match="could not prove"),
        ):
            dial(address)

    def test_tcp_server_cannot_just_claim_to_be_trusted(self) -> None:
        def script(sock: socket.socket) -> None:
            shake_hands(sock, verdict=Verdict.TRUSTED)
            assert says_nothing_more(sock)

        with (
            tcp_server(script) as address,
            pytest.raises(ProtocolError, match=f"{address} answers TRUSTED"),
        ):
            dial(address)

    def test_client_without_a_secret_says_what_is_wanted(self) -> None:
        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)).pack())
            assert says_nothing_more(sock)

        with (
            tcp_server(script) as address,
            pytest.raises(AuthenticationError, match="wants the cluster's secret and none"),
        ):
            connect(address, None, Purpose.CONTROL, timeout_s=PATIENCE_S)

    def test_node_of_another_user_hears_not_a_word(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def script(sock: socket.socket) -> None:
            assert says_nothing_more(sock)

        monkeypatch.setattr("grid.transport.blocking.is_trusted", lambda sock: False)
        with (
            unix_server(monkeypatch, script) as port,
            pytest.raises(AuthenticationError, match="runs as another user"),
        ):
            dial(port)


class TestRefusal:
    @pytest.mark.parametrize("verdict", [Verdict.BUSY, Verdict.NO_SUCH_STORAGE])
    def test_refusal_is_named(self, verdict: Verdict) -> None:
        with (
            tcp_server(lambda sock: shake_hands(sock, final=verdict)) as address,
            pytest.raises(ProtocolError, match=f"{address} answers {verdict.name}"),
        ):
            dial(address)

    def test_server_of_another_protocol_is_recognised(self) -> None:
        def script(sock: socket.socket) -> None:
            read_exactly(sock, HELLO_BYTES)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        with (
            tcp_server(script) as address,
            pytest.raises(ProtocolError, match="does not speak grid's protocol"),
        ):
            dial(address)

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = Address(*listener.getsockname())
        with pytest.raises(ConnectError, match=f"no connection to {address}: Connection refused"):
            dial(address)

    def test_lost_first_packet_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        patience_s: list[float] = []

        class Lossy(socket.socket):
            def connect(self, address: object) -> None:
                seconds, us = struct.unpack("ll", self.getsockopt(*SEND_TIMEOUT, 16))
                patience_s.append(seconds + us / 1e6)
                if len(patience_s) < 3:
                    raise BlockingIOError(errno.EINPROGRESS, "what the kernel says in the end")
                super().connect(address)  # type: ignore[arg-type]

        with tcp_server(shake_hands) as address:
            monkeypatch.setattr("socket.socket", Lossy)
            dial(address).close()
        assert patience_s == pytest.approx([0.25, 0.5, 1.0], abs=0.01)

    def test_attempts_end_with_the_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Deaf(socket.socket):
            def connect(self, address: object) -> None:
                raise BlockingIOError(errno.EINPROGRESS, "what the kernel says in the end")

        monkeypatch.setattr("socket.socket", Deaf)
        with pytest.raises(ConnectError, match="it does not answer"):
            dial(Address("127.0.0.1", 1), timeout_s=0.1)

    def test_no_such_local_node(self) -> None:
        with pytest.raises(ConnectError, match="no connection to local port 0: "):
            dial(0)


class TestSilence:
    def test_server_that_closes_at_once(self) -> None:
        with (
            tcp_server(lambda sock: None) as address,
            pytest.raises(ConnectError, match=f"no connection to {address}: "),
        ):
            dial(address)

    def test_server_that_closes_in_the_middle_of_its_answer(self) -> None:
        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)).pack()[:-1])

        with (
            tcp_server(script) as address,
            pytest.raises(ConnectError, match="the connection ended in the handshake"),
        ):
            dial(address)

    def test_server_that_closes_instead_of_a_welcome(self) -> None:
        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)).pack())
            read_exactly(sock, PROOF_BYTES)

        with tcp_server(script) as address, pytest.raises(ConnectError, match="ended in the hand"):
            dial(address)

    @pytest.mark.parametrize("words", [0, 1])
    def test_server_that_stalls(self, words: int) -> None:
        is_over = threading.Event()

        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)).pack() * words)
            is_over.wait(PATIENCE_S)

        with tcp_server(script) as address:
            with pytest.raises(ConnectError, match=f"{address}: it does not answer"):
                dial(address, timeout_s=SOON_S)
            is_over.set()
