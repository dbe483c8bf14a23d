"""Commands that are put on the wire in one piece are the same as redis-py's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection
from redis.exceptions import DataError

from extauth.stores.redis.packing import pack_in_one_piece

NAMES = st.sampled_from(["GET", "EVALSHA", "CLIENT SETINFO", b"HSET"])
WORDS = st.text(st.characters(exclude_categories=["Cs"])) | st.binary() | st.integers() | st.floats()


def connection_of(client: Any) -> Any:
    """Return a connection that the client would make; it isn't connected."""
    return client.connection_pool.make_connection()


def packing(client: Redis) -> Redis:
    """Return the client, which packs in one piece from now on."""
    pack_in_one_piece(client)
    return client


THEIRS, OURS = connection_of(Redis()), connection_of(packing(Redis()))


@given(NAMES, st.lists(WORDS, max_size=8))
def test_it_says_what_the_client_would_have_said(name: str | bytes, words: list[object]) -> None:
    """Whatever a command holds, its bytes are those that redis-py sends: only they come in one piece."""
    (ours,) = OURS.pack_command(name, *words)
    assert ours == b"".join(THEIRS.pack_command(name, *words))


def test_hundreds_of_words_and_long_ones_come_in_one_piece() -> None:
    """Where redis-py makes several pieces, so that it appends less to each, there is still one."""
    for words in (["extauth:{k}:record"] * 500, ["x" * 20_000, "y" * 20_000]):
        (ours,) = OURS.pack_command("EVALSHA", *words)
        theirs = THEIRS.pack_command("EVALSHA", *words)
        assert len(theirs) > 1
        assert ours == b"".join(theirs)


def test_what_has_no_form_in_the_protocol_is_refused_as_before() -> None:
    """A mistake of ours is no guess of the client's: it raises what it raised."""
    with pytest.raises(DataError):
        OURS.pack_command("SET", "key", True)


def test_connections_stay_what_they_were() -> None:
    """TLS, and the way to a master behind Sentinels, are kept."""
    in_tls = connection_of(packing(Redis(ssl=True)))
    assert isinstance(in_tls, SSLConnection)
    behind_sentinels: Any = Sentinel
    behind = connection_of(packing(behind_sentinels([("127.0.0.1", 26379)]).master_for("limits")))
    assert isinstance(behind, SentinelManagedConnection)
    for connection in (in_tls, behind):
        assert connection.pack_command("GET", "key") == [b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"]
