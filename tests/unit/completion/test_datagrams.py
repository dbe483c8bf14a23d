from __future__ import annotations

import asyncio
import ipaddress
import socket

from extauth.completion.datagrams import DatagramReader, KernelDrops
from extauth.completion.signals import Counters, Signal
from extauth.completion.sources import Sources
from tests.waiting import eventually

from .talking import Taken


async def _flood(network: str, count: int) -> tuple[Taken, Counters]:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    taken, counters = Taken(), Counters()
    drops = KernelDrops(receiver)
    counters.dropped = drops.total
    reader = DatagramReader(receiver, taken, Sources([ipaddress.ip_network(network)]), counters)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        # The loop doesn't turn meanwhile.
        for number in range(count):
            sender.sendto(f"<190>extauth: rid={number} lease=L".encode().ljust(100), receiver.getsockname())
    await eventually(lambda: counters.datagrams + counters.dropped() >= count)
    drops.total()
    reader.close()
    return taken, counters


def test_a_busy_loop_loses_nothing_that_there_was_room_for() -> None:
    """All of 10,000 datagrams are read or counted as dropped, and none is dropped that fits the buffer."""
    taken, counters = asyncio.run(_flood("127.0.0.0/8", 10_000))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        # Such a datagram takes 832 bytes of it, measured with Linux 6; others may take more.
        room = min(10_000, probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 1_024)
    assert counters.datagrams + counters.dropped() == 10_000
    assert len(taken) == counters.lines == counters.datagrams >= room
    assert taken[:2] == [Signal("0", "L", progress=False), Signal("1", "L", progress=False)]


def test_what_does_not_fit_is_counted() -> None:
    """The kernel's drops are known without a later datagram."""
    taken, counters = asyncio.run(_flood("127.0.0.0/8", 30_000))
    assert counters.dropped() > 0
    assert len(taken) + counters.dropped() == 30_000


def test_datagrams_from_elsewhere_free_nothing() -> None:
    """They are counted, and nobody takes them."""
    taken, counters = asyncio.run(_flood("10.0.0.0/8", 10))
    assert taken == []
    assert counters.foreign == 10
