"""Takes the lines of a file into the store. Run again, it passes over what is there already."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from extauth.errors import ConflictError, TooManyKeysError
from extauth.keys.asked import Actor
from extauth.keys.foreign import foreign_ids
from extauth.keys.service import KeyService
from extauth.keys.token import Peppers
from extauth.moving.lines import without_use
from extauth.moving.pages import pages_of
from extauth.moving.parallel import each
from extauth.moving.reading import KeyLine, LineMistake
from extauth.stores.base import KeyFilter, KeyStore

_ASKED_AT_ONCE = 250


@dataclass(slots=True)
class ImportOutcome:
    """What came of the lines: keys taken in and records restored, what was there before, and what was not.

    `refused` are lines whose key is in the store in another state, or no longer fits into it.
    """

    adopted: int = 0
    restored: int = 0
    known: int = 0
    refused: list[LineMistake] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written, and what isn't; `mistakes` must be empty before anything is."""

    waiting: Sequence[KeyLine]
    outcome: ImportOutcome
    mistakes: Sequence[LineMistake]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyImport:
    """One import. `at_once` argon2 hashes run at the same time: no more than the pool has threads."""

    service: KeyService
    store: KeyStore
    peppers: Peppers
    by: Actor
    at_once: int

    async def plan(self, lines: Sequence[KeyLine]) -> Plan:
        """Find out what is there already, and which users would have too many keys. Writes nothing."""
        outcome = ImportOutcome()
        waiting: list[KeyLine] = []
        for start in range(0, len(lines), _ASKED_AT_ONCE):
            some = lines[start : start + _ASKED_AT_ONCE]
            for line, is_there in zip(some, await self._are_there(some), strict=True):
                if not is_there:
                    waiting.append(line)
                elif line.adoption is not None or await self._is_same(line):
                    outcome.known += 1
                else:
                    outcome.refused.append(_differs(line))
        return Plan(waiting, outcome, [mistake async for mistake in self._too_many(waiting)])

    async def write(self, plan: Plan, on_done: Callable[[], None]) -> ImportOutcome:
        """Write what waits. Raises StoreError; what was written before that stays."""
        outcome = plan.outcome

        async def take_in(line: KeyLine) -> None:
            try:
                if line.adoption is None:
                    await self.service.restore(line.record, self.by)
                    outcome.restored += 1
                else:
                    await self.service.adopt(line.adoption.foreign, line.adoption.new, self.by)
                    outcome.adopted += 1
            except TooManyKeysError as error:
                outcome.refused.append(LineMistake(line.number, "user_id", str(error)))
            except ConflictError:
                await self._settle(line, outcome)
            on_done()

        await each(plan.waiting, take_in, at_once=self.at_once)
        outcome.refused.sort(key=lambda mistake: mistake.number)
        return outcome

    async def _settle(self, line: KeyLine, outcome: ImportOutcome) -> None:
        """Somebody else took the key in since it was looked for."""
        if line.adoption is not None or await self._is_same(line):
            outcome.known += 1
        else:
            outcome.refused.append(_differs(line))

    async def _are_there(self, lines: Sequence[KeyLine]) -> list[bool]:
        ids = [self._ids(line) for line in lines]
        versions = iter(await self.store.versions([key_id for several in ids for key_id in several]))
        return [sum(next(versions) for _ in several) > 0 for several in ids]

    def _ids(self, line: KeyLine) -> list[str]:
        """Return the ids that the key may be kept under: a foreign key's come from the pepper of its day."""
        if line.adoption is None:
            return [line.record.key_id]
        return foreign_ids(line.adoption.foreign.secret, self.peppers)

    async def _is_same(self, line: KeyLine) -> bool:
        there = await self.store.get(line.record.key_id)
        return there is not None and without_use(there) == without_use(line.record)

    async def _too_many(self, waiting: Sequence[KeyLine]) -> AsyncIterator[LineMistake]:
        most = self.service.policy.keys_per_user
        users = Counter(line.record.user_id for line in waiting if line.adoption is not None)
        if most is None:
            return
        held = {user_id: await self._living_of(user_id) for user_id in users}
        for line in waiting:
            user_id = line.record.user_id
            if user_id not in held or line.record.revoked_at is not None:
                continue
            held[user_id] += 1
            if line.adoption is not None and held[user_id] > most:
                message = f"user {user_id} would have more than {most} keys (keys.per_user)"
                yield LineMistake(line.number, "user_id", message)

    async def _living_of(self, user_id: str) -> int:
        living = 0
        async for keys in pages_of(self.service, KeyFilter(user_id=user_id)):
            living += sum(key.revoked_at is None for key in keys)
        return living


def _differs(line: KeyLine) -> LineMistake:
    message = f"key {line.record.key_id} is in the store with another content, and is left as it is there"
    return LineMistake(line.number, "", message)
