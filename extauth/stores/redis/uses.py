"""Notes in Redis when keys were used, many of them in one command, and who calls in a key's grace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from extauth.clock import to_us
from extauth.stores.base import MOST_ADDRESSES, OTHER_ADDRESSES, KeyUse
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.link import RedisLink

# How many keys are written to in one trip, which is all that Redis does meanwhile.
_AT_ONCE = 200


async def note_uses(link: RedisLink, uses: Sequence[KeyUse]) -> None:
    """Note when keys were used. See `KeyStore`."""
    known = [use for use in uses if use.key_id]
    for start in range(0, len(known), _AT_ONCE):
        batch = known[start : start + _AT_ONCE]
        await link.write(*_last_uses(batch, is_cluster=link.is_cluster), *_calls(batch))


def _last_uses(uses: Sequence[KeyUse], *, is_cluster: bool) -> Iterator[scripts.Command]:
    """Return one command for all keys that were used at the same time, in a cluster for those of a slot.

    With a command for each key, putting them in words takes the client as long as a check does.
    """
    together: dict[tuple[datetime, int], list[str]] = {}
    for use in uses:
        record = layout.record(use.key_id)
        place = (use.last_used, layout.slot_of(record) if is_cluster else 0)
        together.setdefault(place, []).append(record)
    for (last_used, _), records in together.items():
        yield scripts.LAST_USED(records, to_us(last_used))


def _calls(uses: Sequence[KeyUse]) -> Iterator[scripts.Command]:
    for use in uses:
        if use.calls:
            calls = [part for address, number in use.calls.items() for part in (address, number)]
            keys = [layout.record(use.key_id), layout.grace(use.key_id)]
            yield scripts.GRACE(keys, MOST_ADDRESSES, OTHER_ADDRESSES, *calls)
