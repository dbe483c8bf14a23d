"""Numbers in metadata: none may lose digits on its way into a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from extauth.errors import InvalidInputError

# Readers of JSON turn whole numbers beyond 64 bits into floating point, which holds 53 of their bits.
_LARGEST = 2.0**63


def check_numbers(metadata: Mapping[str, object]) -> None:
    """Raise InvalidInputError where a number is so large that digits of it may be lost already."""
    if any(isinstance(value, float) and abs(value) >= _LARGEST for value in _values(metadata)):
        mistake = "holds a number beyond 64 bits, which would lose digits; write it as text"
        raise InvalidInputError.of([("metadata", mistake)])


def _values(metadata: Mapping[str, object]) -> Iterator[object]:
    """Return all values, however deep. No recursion: how deep they are nested is judged elsewhere."""
    waiting: list[object] = [metadata]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        else:
            yield value
