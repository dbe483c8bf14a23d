"""What operators are told where a Redis can't be opened: words they know, nothing of the client's insides."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from extauth.errors import StoreError
from extauth.stores.redis.faults import told
from tests.integration.processes import free_ports
from tests.redis.server import HOST, RedisServer, opened

WITHOUT_TLS = "if it doesn't speak TLS, the URL must begin with redis, not with rediss"
WITH_TLS = "if it speaks TLS, the URL must begin with rediss"


async def refusal(url: str) -> str:
    """Return what is told where the store can't be opened."""
    with pytest.raises(StoreError) as fault:
        async with opened(url):
            pass
    return str(fault.value)


@pytest.mark.parametrize(
    ("scheme", "path", "words"),
    [
        ("redis", "", "Connection refused"),
        ("rediss", "", "Connection refused"),
        ("redis+cluster", "", "Connection refused"),
        ("redis+sentinel", "/main", "no Sentinel that answers knows a primary of that name"),
    ],
)
def test_where_nobody_listens(scheme: str, path: str, words: str) -> None:
    """Once who was asked, and what the system says about it."""
    (port,) = free_ports(1)
    said = asyncio.run(refusal(f"{scheme}://{HOST}:{port}{path}"))
    assert re.fullmatch(rf"Redis [a-zA-Z ]*{HOST}:{port}: {words}", said)


def test_a_redis_without_tls_that_is_asked_with_tls(server: RedisServer) -> None:
    """It waits for more, so there is nothing but a time-out to tell it by: the likely reason is told."""
    said = asyncio.run(refusal(f"rediss://{HOST}:{server.port}"))
    assert said == f"Redis {HOST}:{server.port}: no answer within 5000 ms; {WITHOUT_TLS}"


def test_a_single_redis_that_is_taken_for_a_cluster(server: RedisServer) -> None:
    """In Redis's own words."""
    said = asyncio.run(refusal(f"redis+cluster://{HOST}:{server.port}"))
    assert said == f"Redis cluster {HOST}:{server.port}: This instance has cluster support disabled"


@pytest.mark.parametrize(("scheme", "hint"), [("redis", WITH_TLS), ("rediss", WITHOUT_TLS)])
def test_whoever_breaks_off_may_expect_something_else(scheme: str, hint: str) -> None:
    """A Redis with TLS closes the connection of a client that doesn't speak it."""

    async def scenario() -> None:
        async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_server(close, HOST, 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            said = await refusal(f"{scheme}://{HOST}:{port}")
        assert said.startswith(f"Redis {HOST}:{port}: it broke the connection off; ")
        assert said.endswith(hint)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "can't be reached"),
        (PermissionError(13, "Connect call failed ('x', 1)"), "Permission denied"),
        (ssl.SSLError(1, "[SSL] unknown (_ssl.c:1006)"), "no TLS: the handshake failed"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "what it holds is not UTF-8"),
    ],
)
def test_what_lies_at_the_bottom_is_told(cause: Exception, words: str) -> None:
    """However the client wraps it."""
    error = LostConnectionError("Error 111 connecting to x:1.")
    error.__context__ = cause
    assert told(error).startswith(words)
    assert not re.search(r"Errno|Error|_ssl|Connect call|codec", told(error))


def test_an_unreadable_password_file_is_told_as_before(server: RedisServer, tmp_path: Path) -> None:
    """It is the file that is at fault, not a connection."""

    async def scenario() -> None:
        with pytest.raises(StoreError) as fault:
            async with opened(server.url, password_file=tmp_path / "absent"):
                pass
        assert "begin with" not in str(fault.value)

    asyncio.run(scenario())
