"""Has redis-py put each command on the wire in one piece.

By itself it appends every argument to a copy of all before it. With hundreds of them, as where last uses are
noted, that takes three times as long, while checks wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection


class _InOnePiece(AbstractConnection):
    def pack_command(self, *args: Any) -> list[bytes]:
        encode: Callable[[Any], bytes] = self.encoder.encode
        # Names of commands may be two words, such as CLIENT SETINFO.
        words = encode(args[0]).split()
        words += [word.encode() if word.__class__ is str else encode(word) for word in args[1:]]
        told = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
        return [b"*%d\r\n%b" % (len(words), b"".join(told))]


def pack_in_one_piece(client: Redis) -> None:
    """Have a client do so on all connections that it is going to make, in TLS or behind Sentinels alike."""
    pool = client.connection_pool
    kind = pool.connection_class
    pool.connection_class = type(kind.__name__, (_InOnePiece, kind), {})
