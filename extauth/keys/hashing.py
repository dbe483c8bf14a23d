"""argon2id for the secrets at rest: off the event loop and bounded, in time and in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from extauth.errors import OverloadedError, SecretMismatchError, StoreError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class HashingParameters:
    """The cost of one hash.

    The defaults are the least that OWASP advises; a 256-bit random secret needs no more.
    """

    memory_kib: int = 19_456
    time_cost: int = 2
    parallelism: int = 1


class SecretHasher:
    """Hashes and verifies secrets in `workers` threads; `queue` more may wait, the rest are refused at once.

    argon2 releases the interpreter lock, so the event loop goes on meanwhile. Memory in use is at most
    `workers` times the memory cost. `verifications` counts how often argon2 compared a secret.
    """

    def __init__(self, parameters: HashingParameters, *, workers: int = 0, queue: int = 64) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=parameters.time_cost,
            memory_cost=parameters.memory_kib,
            parallelism=parameters.parallelism,
            type=argon2.Type.ID,
        )
        self.threads = workers or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="argon2")
        self._room = self.threads + queue
        self._busy = 0
        self.verifications = 0
        self.refusals = 0

    async def hash(self, secret: str) -> str:
        """Return the argon2id hash of a secret, in PHC string form. Raises OverloadedError."""
        return await self._run(lambda: self._argon2.hash(secret))

    async def verify(self, hashed: str, secret: str) -> None:
        """Return if the secret is the hashed one.

        Raise SecretMismatchError if not, OverloadedError if there is no room or no memory, StoreError if the
        hash is none.
        """
        await self._run(lambda: self._compare(hashed, secret))

    def is_outdated(self, hashed: str) -> bool:
        """Tell whether a hash was made under other costs than those in force."""
        try:
            return self._argon2.check_needs_rehash(hashed)
        except InvalidHashError:
            return False

    def _compare(self, hashed: str, secret: str) -> None:
        self.verifications += 1
        try:
            self._argon2.verify(hashed, secret)
        except VerifyMismatchError as error:
            raise SecretMismatchError("the secret is not the one that was hashed") from error
        except VerificationError as error:
            # No memory, say: that tells nothing about the secret.
            raise OverloadedError(f"a secret could not be verified: {error}", retry_after=1) from error
        except InvalidHashError as error:
            raise StoreError("the hash of a key can't be read") from error

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._busy >= self._room:
            self.refusals += 1
            raise OverloadedError("too many secrets wait to be hashed", retry_after=1)
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # The place is given back when the thread is done, not when a caller stops waiting for it: hence the
        # shield.
        future.add_done_callback(self._release)
        return await asyncio.shield(future)

    def _release(self, _future: asyncio.Future[Result]) -> None:
        self._busy -= 1

    def close(self) -> None:
        """Stop the threads; work under way is finished, work that waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
