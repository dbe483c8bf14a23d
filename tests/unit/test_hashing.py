"""argon2 in its pool: right answers, bounded work, and a count that tests elsewhere rely on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2.exceptions import VerificationError

from extauth.errors import OverloadedError, SecretMismatchError, StoreError
from extauth.keys.hashing import HashingParameters, SecretHasher
from tests.keys import CHEAP
from tests.waiting import eventually


@pytest.fixture
def hasher() -> Iterator[SecretHasher]:
    """Give a hasher with one thread and room for two more to wait."""
    hasher = SecretHasher(CHEAP, workers=1, queue=2)
    yield hasher
    hasher.close()


class Gate:
    """Work that a test lets go on when it wants."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.open = threading.Event()

    def pass_through(self) -> None:
        """Wait for the gate to open."""
        self.started.set()
        assert self.open.wait(10)


def test_the_secret_that_was_hashed_is_verified(hasher: SecretHasher) -> None:
    """Nothing is raised for the right secret, and nothing else passes; a broken hash is the store's fault."""

    async def scenario() -> None:
        hashed = await hasher.hash("right")
        await hasher.verify(hashed, "right")
        for hash_text, secret, fault in (
            (hashed, "wrong", SecretMismatchError),
            (hashed, "", SecretMismatchError),
            ("no hash", "right", StoreError),
            ("", "right", StoreError),
        ):
            with pytest.raises(fault) as caught:
                await hasher.verify(hash_text, secret)
            assert "right" not in str(caught.value)

    asyncio.run(scenario())


def test_hashes_are_argon2id_with_the_parameters_and_a_salt(hasher: SecretHasher) -> None:
    """The same secret is never hashed twice alike, and the cost can be read from the hash."""

    async def scenario() -> None:
        first, second = await hasher.hash("same"), await hasher.hash("same")
        assert first.startswith("$argon2id$v=19$m=8,t=1,p=1$")
        assert first != second
        assert "same" not in first

    asyncio.run(scenario())


def test_the_defaults_are_what_owasp_asks_for_at_least() -> None:
    """19 MiB and two passes (OWASP Password Storage Cheat Sheet)."""
    defaults = HashingParameters()
    assert (defaults.memory_kib, defaults.time_cost, defaults.parallelism) == (19_456, 2, 1)


def test_verifications_are_counted(hasher: SecretHasher) -> None:
    """Right or wrong, each run of argon2 counts once; hashing does not."""

    async def scenario() -> None:
        hashed = await hasher.hash("right")
        await hasher.verify(hashed, "right")
        with pytest.raises(SecretMismatchError):
            await hasher.verify(hashed, "wrong")
        assert hasher.verifications == 2

    asyncio.run(scenario())


def test_more_work_than_there_is_room_for_is_refused(hasher: SecretHasher) -> None:
    """One works, two wait, the fourth is refused at once with advice; then there is room again."""

    async def scenario() -> None:
        gate = Gate()
        work = [asyncio.create_task(hasher._run(gate.pass_through)) for _ in range(3)]
        await asyncio.to_thread(gate.started.wait, 10)
        with pytest.raises(OverloadedError) as caught:
            await hasher.hash("too much")
        assert caught.value.retry_after == 1
        assert hasher.refusals == 1
        gate.open.set()
        await asyncio.gather(*work)
        await hasher.hash("room again")
        assert hasher.refusals == 1

    asyncio.run(scenario())


def test_a_caller_that_stops_waiting_gives_no_room_away(hasher: SecretHasher) -> None:
    """The thread goes on hashing for a client that left, so its place stays taken: memory is bounded."""

    async def scenario() -> None:
        gate = Gate()
        work = [asyncio.create_task(hasher._run(gate.pass_through)) for _ in range(3)]
        await asyncio.to_thread(gate.started.wait, 10)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        with pytest.raises(OverloadedError):
            await hasher.hash("too much")
        gate.open.set()
        await eventually(lambda: not hasher._busy)
        await hasher.hash("room again")

    asyncio.run(scenario())


def test_the_event_loop_goes_on_while_argon2_works(hasher: SecretHasher) -> None:
    """Checks of other keys are answered meanwhile."""

    async def scenario() -> None:
        gate = Gate()
        work = asyncio.create_task(hasher._run(gate.pass_through))
        await asyncio.to_thread(gate.started.wait, 10)
        assert not work.done()
        gate.open.set()
        await work

    asyncio.run(scenario())


def test_failed_work_gives_its_place_back(hasher: SecretHasher) -> None:
    """A hundred wrong secrets one after the other never fill a queue of three."""

    async def scenario() -> None:
        hashed = await hasher.hash("right")
        for _ in range(100):
            with pytest.raises(SecretMismatchError):
                await hasher.verify(hashed, "wrong")
        assert hasher.refusals == 0

    asyncio.run(scenario())


def test_a_hash_that_could_not_be_compared_says_nothing_about_the_secret(
    hasher: SecretHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory, say: the check is put off, and nobody is called an impostor."""

    def fails(*_arguments: object) -> None:
        raise VerificationError("Memory allocation error")

    async def scenario() -> None:
        hashed = await hasher.hash("right")
        monkeypatch.setattr("argon2.PasswordHasher.verify", fails)
        with pytest.raises(OverloadedError, match="Memory"):
            await hasher.verify(hashed, "right")

    asyncio.run(scenario())
