"""A client that writes bytes on a socket and reads answers, with no idea of its own about requests."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from .wire import Answer, read_answer, read_answers

# How long a test waits for what must come at once: what takes longer, even on a busy machine, is a hang.
PATIENCE = 8.0
_AT_ONCE = 65_536

Address = tuple[str, int] | str


class Client:
    """One connection. An address that is text is the path of a unix socket."""

    def __init__(self, address: Address, *, receive_buffer: int | None = None) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        if family == socket.AF_INET:
            # What is written apart must travel apart.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, *pieces: bytes) -> None:
        """Write the pieces one after the other."""
        for piece in pieces:
            self.socket.sendall(piece)

    def send_what_is_taken(self, data: bytes) -> None:
        """Write data to a server that may answer and end the connection before it has read all of it."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def send_what_is_taken_now(self, data: bytes) -> None:
        """Write as much as the kernel takes without waiting; nothing where the connection has ended."""
        self.socket.setblocking(False)
        try:
            self.socket.send(data)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return
        finally:
            self.socket.settimeout(PATIENCE)

    def receive(self, method: str = "GET") -> Answer:
        """Read one answer; an AssertionError if the connection ends first."""
        while (found := read_answer(self._unread, method)) is None:
            data = self.socket.recv(_AT_ONCE)
            assert data, f"the connection ended after {self._unread!r}"
            self._unread += data
        answer, self._unread = found
        return answer

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        """Write a request and read its answer."""
        self.send(data)
        return self.receive(method)

    def receive_until_end(self, *methods: str) -> list[Answer]:
        """Read answers to requests of these methods until the server ends the connection in good order."""
        while data := self.socket.recv(_AT_ONCE):
            self._unread += data
        answers = read_answers(self._unread, methods)
        self._unread = b""
        return answers

    def receive_until_end_or_reset(self) -> list[Answer]:
        """Read answers to GET requests until the connection ends, in good order or by a reset."""
        try:
            return self.receive_until_end()
        except ConnectionResetError:
            answers, self._unread = read_answers(self._unread), b""
            return answers

    def assert_ended(self) -> None:
        """Fail if anything comes before the server ends the connection."""
        assert self.receive_until_end() == []

    def assert_cut_off(self) -> None:
        """Fail if anything comes before the connection ends, in good order or by a reset."""
        try:
            self.assert_ended()
        except ConnectionResetError:
            assert self._unread == b""

    def assert_silent_and_open(self) -> None:
        """Fail if an answer or the end of the connection is there to be read at this moment."""
        assert self._unread == b""
        self.socket.setblocking(False)
        try:
            data = self.socket.recv(1)
        except BlockingIOError:
            return
        finally:
            self.socket.settimeout(PATIENCE)
        raise AssertionError(f"came unasked: {data!r}" if data else "the connection was ended")

    def wait_until_gone(self) -> None:
        """Wait until the server has given up its side altogether, which writing to it shows by an error."""
        deadline = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < deadline:
                self.socket.sendall(b"\r\n")
                time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            return
        raise AssertionError("the server kept its side of the connection")

    def send_end(self) -> None:
        """Say that nothing more will be sent, but go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def send_end_if_open(self) -> None:
        """The same to a server that may have ended the connection already."""
        try:
            self.send_end()
        except OSError:
            return

    def reset(self) -> None:
        """Break the connection off, as a crashed client or a firewall does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


@contextlib.contextmanager
def many(address: Address, count: int, *, receive_buffer: int | None = None) -> Iterator[list[Client]]:
    """Open many connections, for as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(address, receive_buffer=receive_buffer)) for _ in range(count)]


def ask(address: Address, data: bytes, method: str = "GET") -> Answer:
    """Write a request on a connection of its own and read its answer."""
    with Client(address) as client:
        return client.ask(data, method)
