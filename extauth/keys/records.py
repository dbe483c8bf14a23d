"""The records of keys as the check needs them: compiled, remembered, and never out of date.

How that is known depends on the store. Where other servers change the same records, the version of a record
is asked for before it is used, for all checks of one turn of the loop in one trip. Where only this machine
does, `KeyWatcher` says within milliseconds what has changed. No lifetime stands between a change and its
effect.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from extauth.bounded import BoundedCache
from extauth.errors import StoreError
from extauth.model import ApiKey
from extauth.parts import part
from extauth.patience import Patience
from extauth.stores.base import KeyStore

# How many versions are asked for in one trip.
MOST_AT_ONCE = 500
# How long anybody waits for a record at most.
LONGEST_LOAD_SECONDS = 2.0
# A record that is older than its version each time it is read is the store's fault.
_ATTEMPTS = 5


class KeyEntry(Protocol):
    """What a record is compiled to when it is loaded. `standing` is for `KeyRecords` to set."""

    key: ApiKey
    standing: object

    def refusal(self, now_us: int) -> str:
        """Return why the key may not be used now, or an empty text."""
        ...


Entry = TypeVar("Entry", bound=KeyEntry)


class Absent(enum.Enum):
    """Stands in the place of an entry where the store holds no such key."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class KeyRecords(Generic[Entry]):
    """Loads, compiles and remembers records; `compile_entry` is called once for each load.

    `trouble` says why a shared store needn't be asked at the moment, because it didn't answer lately; empty
    if it may.

    An entry whose `standing` is the one of these records is what they would return for its key, so that
    whoever holds it needn't ask. It loses that with any change that is heard of, and all lose it where nobody
    could tell which of them have changed.
    """

    def __init__(
        self,
        store: KeyStore,
        compile_entry: Callable[[ApiKey], Entry],
        *,
        size: int,
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = store
        self._trouble = trouble
        self._compile = compile_entry
        self._size = size
        self.standing = object()
        self._entries = self._no_entries()
        # Compiled under settings that are in force no more; each is compiled anew when it is asked for.
        self._former: BoundedCache[str, Entry | Absent] = BoundedCache(size)
        self._recompile: Callable[[Entry], Entry] = lambda entry: entry
        self._versions = _Versions(store)
        self._loads: dict[str, asyncio.Task[Entry | Absent]] = {}
        # Those of them that were forgotten since they began.
        self._outdated: set[str] = set()

    @property
    def is_shared(self) -> bool:
        """Whether others change the same records, so that what is remembered may be out of date."""
        return self._store.is_shared

    def at_hand(self, key_id: str) -> Entry | Absent | None:
        """Return the entry if it is here and can be trusted as it is; None where `current` has to ask."""
        return None if self._store.is_shared else self._held(key_id)

    async def current(self, key_id: str, patience: Patience | None = None) -> Entry | Absent:
        """Return the entry as the store has it now. Raises StoreError."""
        patience = patience or Patience(LONGEST_LOAD_SECONDS)
        if not self._store.is_shared:
            return self.at_hand(key_id) or await self._load(key_id, patience)
        with part("store"):
            version = await patience.wait_for(self._versions.wanted(key_id))
        if version == 0:
            return ABSENT
        entry = self._entries.get(key_id) or self._older(key_id)
        # Another version, also a higher one: a record that was purged and restored begins anew.
        if entry is not None and entry is not ABSENT and entry.key.version == version:
            return entry
        for _ in range(_ATTEMPTS):
            # A load that others began may have read what was there before the version was.
            entry = await self._load(key_id, patience)
            if entry is not ABSENT and entry.key.version >= version:
                return entry
        if entry is ABSENT:
            return ABSENT
        raise StoreError(f"the record of key {key_id} is older than its version")

    def remembered(self, key_id: str) -> Entry | None:
        """Return the entry that was last loaded, which may be out of date where the store is shared."""
        entry = self._held(key_id)
        return None if entry is ABSENT else entry

    async def known(self, key_id: str, patience: Patience) -> Entry | Absent:
        """Return the entry that is remembered, else load it. Raises StoreError, at once in `trouble`."""
        entry = self.remembered(key_id)
        if entry is not None:
            return entry
        if trouble := self._trouble():
            raise StoreError(trouble)
        began_before = key_id in self._loads
        found = await self._load(key_id, patience)
        # A load that others began may not have found what is there now: no version tells of that.
        return await self._load(key_id, patience) if found is ABSENT and began_before else found

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drop the state of keys that have changed; the next check of each reads the store."""
        for key_id in key_ids:
            self._let_go(key_id)
            self._former.forget(key_id)
            if key_id in self._loads:
                self._outdated.add(key_id)

    def forget_all(self) -> None:
        """Drop the state of all keys: nobody knows what has changed."""
        self._entries.forget_all()
        self._former.forget_all()
        self._none_stands()
        self._outdated.update(self._loads)

    @property
    def held(self) -> int:
        """How many entries are in memory."""
        return self._entries.held + self._former.held

    def compile_with(
        self, compile_entry: Callable[[ApiKey], Entry], recompile: Callable[[Entry], Entry]
    ) -> None:
        """Give out no entry any more that was compiled otherwise.

        Records stay: a store that is gone at the moment needn't be asked for them. `recompile` makes an entry
        of another one.
        """
        self._compile, self._recompile = compile_entry, recompile
        if self._former.held:
            # Behind those that nobody has asked for since the last time.
            self._former.keep_all(self._entries)
        else:
            self._former = self._entries
        self._entries = self._no_entries()
        self._none_stands()
        # One that is done and not fetched yet is for those only who began it.
        self._loads = {key_id: load for key_id, load in self._loads.items() if not load.done()}

    def _no_entries(self) -> BoundedCache[str, Entry | Absent]:
        # One that was dropped for want of room isn't found any more when its key changes.
        return BoundedCache(self._size, on_drop=self._none_stands)

    def _none_stands(self) -> None:
        self.standing = object()

    def _let_go(self, key_id: str) -> None:
        entry = self._entries.forget(key_id)
        if entry is not None and entry is not ABSENT:
            entry.standing = None

    def _held(self, key_id: str) -> Entry | Absent | None:
        entry = self._entries.get(key_id) or self._older(key_id)
        if entry is not None and entry is not ABSENT:
            entry.standing = self.standing
        return entry

    def _older(self, key_id: str) -> Entry | Absent | None:
        entry = self._entries.revive(key_id)
        if entry is not None:
            return entry
        former = self._former.get(key_id) or self._former.revive(key_id)
        if former is None:
            return None
        self._former.forget(key_id)
        entry = former if former is ABSENT else self._recompile(former)
        self._entries.keep(key_id, entry)
        return entry

    async def _load(self, key_id: str, patience: Patience) -> Entry | Absent:
        """Read a record: once for all who want it at the same time, whoever of them leaves."""
        load = self._loads.get(key_id)
        if load is None:
            load = self._loads[key_id] = asyncio.create_task(self._read(key_id))
            load.add_done_callback(partial(self._loaded, key_id))
        with part("store"):
            return await patience.wait_for(load)

    def _loaded(self, key_id: str, load: asyncio.Task[Entry | Absent]) -> None:
        if self._loads.get(key_id) is load:
            del self._loads[key_id]
        if not load.cancelled():
            # Those who waited may have left; then nobody needs to hear of a fault.
            load.exception()

    async def _read(self, key_id: str) -> Entry | Absent:
        while True:
            self._outdated.discard(key_id)
            record = await self._store.get(key_id)
            if key_id not in self._outdated:
                break
            # A change was noticed meanwhile; whether this record has it is unknown, so it is read again.
        entry = ABSENT if record is None else self._compile(record)
        self._let_go(key_id)
        self._entries.keep(key_id, entry)
        return entry


class _Versions:
    """Asks for versions: all that are wanted in one turn of the loop in one trip, which begins after it.

    So a check never gets a version that was read before the check began.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._wanted: dict[str, asyncio.Future[int]] = {}
        self._trips: set[asyncio.Task[None]] = set()

    def wanted(self, key_id: str) -> asyncio.Future[int]:
        """Return what will hold a record's version as it is now, 0 where there is none, or a StoreError."""
        answer = self._wanted.get(key_id)
        if answer is None:
            loop = asyncio.get_running_loop()
            if not self._wanted:
                loop.call_soon(self._send)
            answer = self._wanted[key_id] = loop.create_future()
        return answer

    def _send(self) -> None:
        wanted, self._wanted = list(self._wanted.items()), {}
        for start in range(0, len(wanted), MOST_AT_ONCE):
            trip = asyncio.create_task(self._ask(dict(wanted[start : start + MOST_AT_ONCE])))
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)

    async def _ask(self, wanted: dict[str, asyncio.Future[int]]) -> None:
        try:
            versions = await self._store.versions(list(wanted))
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            fault = error if isinstance(error, StoreError) else StoreError(repr(error))
            for answer in wanted.values():
                answer.set_exception(fault)
                # Those who wait may have left; then nobody needs to hear of it.
                answer.exception()
            return
        for answer, version in zip(wanted.values(), versions, strict=True):
            answer.set_result(version)
