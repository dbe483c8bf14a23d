"""Reads the log lines that proxies send as datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from extauth.completion.lines import read_json, read_line
from extauth.completion.signals import Counters, SignalSink, signals_of
from extauth.completion.sources import Sources

# Room for some ten thousand datagrams while the loop is busy, in bytes.
RECEIVE_BUFFER = 4 * 1024 * 1024
# How many are read before others have their turn.
_AT_ONCE = 256
# How often that is done at the end: more than there is room for.
_AT_THE_END = 64
_LONGEST = 65_535
# Linux's names that the socket module lacks (asm-generic/socket.h, linux/sock_diag.h). Unlike SO_RXQ_OVFL,
# SO_MEMINFO tells of drops without a later datagram that tells of them.
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_DROPS = 8  # SK_MEMINFO_DROPS


class DatagramReader:
    """Reads a bound datagram socket, which it owns, on the running loop."""

    def __init__(
        self, receiver: socket.socket, sink: SignalSink, sources: Sources, counters: Counters
    ) -> None:
        self._socket = receiver
        self._unix = receiver.family == socket.AF_UNIX
        self._sink = sink
        self._sources = sources
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        receiver.setblocking(False)
        try:
            receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except OSError:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._loop.add_reader(receiver, self._read)

    def close(self) -> None:
        """Read what has come, and no more; close the socket."""
        self._loop.remove_reader(self._socket)
        # Where others go on sending, the rest is left to other workers.
        for _ in range(_AT_THE_END):
            if self._read() < _AT_ONCE:
                break
        self._socket.close()

    def _read(self) -> int:
        """Take some datagrams, and return how many those were."""
        lines: list[bytes] = []
        objects: list[bytes] = []
        counters, before = self._counters, self._counters.datagrams
        with contextlib.suppress(OSError):
            for _ in range(_AT_ONCE):
                datagram, peer = self._socket.recvfrom(_LONGEST)
                counters.datagrams += 1
                if not self._sources.admits(peer, unix=self._unix):
                    counters.foreign += 1
                elif datagram.startswith(b"{"):
                    objects.append(datagram)
                else:
                    lines.append(datagram)
        signals = signals_of(map(read_line, lines), counters)
        counters.lines += len(signals)
        from_json = signals_of(map(read_json, objects), counters)
        counters.json += len(from_json)
        signals += from_json
        if signals:
            self._sink.take(signals)
        return counters.datagrams - before


class KernelDrops:
    """How many datagrams the kernel had no room for, on a socket that any number of processes read."""

    def __init__(self, receiver: socket.socket) -> None:
        self._socket = receiver
        self._total = self._last = 0

    def total(self) -> int:
        """Return how many were dropped so far; where the kernel doesn't tell, none."""
        with contextlib.suppress(OSError, struct.error):
            told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            last = _MEMINFO.unpack(told)[_DROPS]
            # The kernel's number has 32 bits and begins anew behind them.
            self._total += (last - self._last) & 0xFFFFFFFF
            self._last = last
        return self._total
