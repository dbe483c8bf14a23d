"""Redis's protocol as far as scripts need it: RESP2 commands out, plain replies in.

redis-py costs about 75 µs for each command that is awaited, more than all the rest of a check. Here a batch
is one write, and its reply calls whoever waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from extauth.errors import StoreError


class RedisError(StoreError):
    """An error that Redis answered. `kind` is its first word, such as NOSCRIPT or MOVED."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.kind, _, self.rest = text.partition(" ")


# Bulk strings are bytes, integers are numbers, nothing is None, errors are values.
Reply = bytes | int | None | RedisError


def bulk(value: bytes) -> bytes:
    """Return one argument of a command."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def command(*words: str | bytes) -> bytes:
    """Return a whole command."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n%b" % (len(parts), b"".join(map(bulk, parts)))


def script_call(
    head: bytes, keys: Iterable[bytes], arguments: Iterable[bytes], counts: tuple[int, int]
) -> bytes:
    """Return a script call from arguments that are `bulk` already; `counts` are how many of each."""
    number_of_keys, number_of_arguments = counts
    start = b"*%d\r\n%b%b" % (3 + number_of_keys + number_of_arguments, head, bulk(b"%d" % number_of_keys))
    return b"".join((start, *keys, *arguments))


class ReplyReader:
    """Cuts replies out of what arrives, however it is cut into pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Return the replies that are whole now. Raises StoreError on what is none of ours."""
        data = self._rest + data if self._rest else data
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            kind, line = data[at], data[at + 1 : end]
            after = end + 2
            if kind == _BULK:
                length = int(line)
                if length < 0:
                    yield None
                elif len(data) < after + length + 2:
                    break
                else:
                    yield data[after : after + length]
                    after += length + 2
            else:
                yield _simple(kind, line)
            at = after
        self._rest = data[at:]


_BULK = ord("$")


def _simple(kind: int, line: bytes) -> Reply:
    if kind == ord("-"):
        return RedisError(line.decode("utf-8", "replace"))
    if kind == ord("+"):
        return line
    if kind == ord(":"):
        return int(line)
    raise StoreError("Redis answered with what is no reply to a script")
