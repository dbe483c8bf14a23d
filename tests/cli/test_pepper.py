"""`extauth pepper status`: which keys need which pepper, and which pepper nobody needs any more."""

from __future__ import annotations

from typing import Any

from extauth.keys.token import Peppers
from extauth.stores.base import KeyStore
from tests.keys import entry, record
from tests.shell import Done, Shell

OLD, NEW = "an old pepper that is long enough 0000", "a new pepper that is long enough 0000"
OLD_ID, NEW_ID = Peppers([OLD]).newest_id, Peppers([NEW]).newest_id


def use(shell: Shell, *peppers: str) -> None:
    """Configure peppers, newest first."""
    shell.configure(keys={"peppers": list(peppers)})


def status(shell: Shell) -> list[dict[str, Any]]:
    """Return what programs are told."""
    peppers: list[dict[str, Any]] = shell.run("pepper", "status", "--json").json["peppers"]
    return peppers


def sentences(done: Done) -> list[str]:
    """Return what people are told below the table."""
    return done.out.split("\n\n")[1].splitlines()


def test_a_single_pepper_signs(shell: Shell) -> None:
    """With how many keys need it; no pepper is shown, and it can't be dropped."""
    use(shell, NEW)
    shell.create()
    assert status(shell) == [
        {"pepper_id": NEW_ID, "keys": 1, "configured": True, "signs": True, "can_be_dropped": False}
    ]
    done = shell.run("pepper", "status")
    assert (done.code, done.err) == (0, "")
    assert sentences(done) == [f"New keys are made under the pepper {NEW_ID}."]
    assert NEW not in done.out


def test_an_old_pepper_can_be_dropped_when_no_living_key_needs_it(shell: Shell) -> None:
    """Until then it says how many do."""
    use(shell, OLD)
    key = shell.create()
    use(shell, NEW, OLD)
    shell.create()
    assert [(one["pepper_id"], one["keys"], one["can_be_dropped"]) for one in status(shell)] == [
        (NEW_ID, 1, False),
        (OLD_ID, 1, False),
    ]
    advice = f"The pepper {OLD_ID} can be dropped once the keys that need it (1) are revoked"
    assert advice in shell.run("pepper", "status").out
    shell.run("keys", "revoke", key["key_id"], "--yes")
    assert status(shell)[1]["can_be_dropped"] is True
    advice = f"The pepper {OLD_ID} can be dropped: no living key needs it."
    assert advice in sentences(shell.run("pepper", "status"))


def test_keys_without_their_pepper_are_warned_about(shell: Shell) -> None:
    """They don't work: on stderr, so that nobody misses it."""
    use(shell, OLD)
    shell.create()
    use(shell, NEW)
    done = shell.run("pepper", "status")
    assert done.code == 0
    assert done.err == (
        f"Warning: the pepper {OLD_ID} is not configured, so the keys that need it don't work: 1 of them. "
        "Put it back among keys.peppers; if it is lost, keys.accept_untagged lets all but imported ones work "
        "until they are rotated.\n"
    )
    assert status(shell)[1] == {
        "pepper_id": OLD_ID, "keys": 1, "configured": False, "signs": False, "can_be_dropped": False
    }  # fmt: skip


def test_keys_of_which_nobody_noted_the_pepper_keep_all_of_them(shell: Shell) -> None:
    """Any of the peppers may be theirs, so none can be dropped."""
    use(shell, NEW, OLD)

    async def fill(store: KeyStore) -> None:
        await store.add(record(pepper_id=""), entry())

    shell.in_store(fill)
    assert [one["can_be_dropped"] for one in status(shell)] == [False, False, False]
    _, unknown, last = sentences(shell.run("pepper", "status"))
    assert unknown == f"The pepper {OLD_ID} can't be dropped while there are keys of which nobody knows it."
    assert last == "Keys of which nobody noted the pepper: 1. They may need any of them."
