"""What the policy of keys and the scopes of whoever asks allow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from extauth.errors import InvalidInputError, TooManyKeysError
from extauth.keys.asked import Actor, KeyChange
from tests.fakes import START
from tests.managing import BY, Rig, new_key, run

DAY = timedelta(days=1)


def test_a_policy_bounds_lifetimes() -> None:
    """The default applies where nothing is said; what is longer is refused, and so is for ever."""

    async def scenario(it: Rig) -> None:
        assert (await it.service.create(new_key(), BY)).record.expires_at == START + 30 * DAY
        for wanted in (new_key(never=True), new_key(lifetime=91 * DAY), new_key(expires_at=START + 91 * DAY)):
            with pytest.raises(InvalidInputError, match="90 days"):
                await it.service.create(wanted, BY)
        made = (await it.service.create(new_key(lifetime=90 * DAY), BY)).record
        for end in (None, START + 91 * DAY):
            with pytest.raises(InvalidInputError, match="90 days"):
                await it.service.update(made.key_id, KeyChange(expires_at=end), BY)

    run(scenario, default_lifetime=30 * DAY, longest_lifetime=90 * DAY)


def test_a_policy_bounds_the_keys_of_a_user() -> None:
    """A rotation is no further key; a revocation makes room."""

    async def scenario(it: Rig) -> None:
        first = (await it.service.create(new_key(), BY)).record
        await it.service.create(new_key(), BY)
        with pytest.raises(TooManyKeysError, match="user-1 has 2 keys"):
            await it.service.create(new_key(), BY)
        await it.service.create(new_key(user_id="another"), BY)
        await it.service.rotate(first.key_id, BY)
        await it.service.revoke(first.key_id, BY)

    run(scenario, keys_per_user=2)


def test_a_tier_bounds_scopes() -> None:
    """Also where a key moves to the tier with the scopes that it has."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(tier="pro", scopes=("admin:all",)), BY)).record
        with pytest.raises(InvalidInputError, match="'free' may not hold 'admin:all'"):
            await it.service.update(made.key_id, KeyChange(tier="free"), BY)
        await it.service.create(new_key(scopes=("orders:read", "orders:*")), BY)
        for scope in ("*", "users:read", "extauth:admin"):
            with pytest.raises(InvalidInputError, match="may not hold"):
                await it.service.create(new_key(scopes=(scope,)), BY)

    run(scenario, tier_scopes={"free": ("orders:*",)})


@pytest.mark.parametrize(
    ("held", "wanted", "granted"),
    [
        (("extauth:admin",), "orders:read", True),
        (("extauth:admin",), "extauth:keys:write", True),
        (("extauth:keys:write",), "extauth:keys:write", True),
        (("extauth:keys:write",), "extauth:admin", False),
        (("extauth:keys:write",), "orders:read", False),
        (("extauth:keys:write", "orders:*"), "orders:read", True),
        (("extauth:keys:write", "orders:*"), "orders:*", True),
        (("extauth:keys:write", "orders:read"), "orders:*", False),
        (("extauth:keys:write", "*"), "orders:*", True),
        (("extauth:keys:write", "*"), "extauth:admin", False),
        (("extauth:*",), "extauth:admin", True),
        (("extauth:*",), "orders:read", False),
        ((), "orders:read", False),
    ],
)
def test_nobody_grants_what_they_do_not_hold(held: tuple[str, ...], wanted: str, granted: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Neither to a new key nor to one that is there; what a key has already, others may leave it."""

    async def scenario(it: Rig) -> None:
        by = Actor(name="key:abc", source="192.0.2.1", scopes=held)
        made = (await it.service.create(new_key(scopes=("kept:by-others",)), BY)).record
        asking = (
            it.service.create(new_key(scopes=(wanted,)), by),
            it.service.update(made.key_id, KeyChange(scopes=("kept:by-others", wanted)), by),
        )
        for asked in asking:
            if granted:
                await asked
            else:
                with pytest.raises(InvalidInputError, match="doesn't hold"):
                    await asked
        await it.service.update(made.key_id, KeyChange(name="renamed"), by)

    run(scenario)


def test_a_rotation_grants_too() -> None:
    """Whoever can't give a key its scopes can't get at its successor's secret."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(scopes=("extauth:admin",)), BY)).record
        by = Actor(name="key:abc", source="192.0.2.1", scopes=("extauth:keys:write",))
        with pytest.raises(InvalidInputError, match="doesn't hold"):
            await it.service.rotate(made.key_id, by)

    run(scenario)


def test_whoever_lets_a_key_work_again_grants_its_scopes() -> None:
    """Enabling and a later end are refused to those who could not have made the key; an earlier isn't."""

    async def scenario(it: Rig) -> None:
        by = Actor(name="key:abc", source="192.0.2.1", scopes=("extauth:keys:write",))
        made = (await it.service.create(new_key(scopes=("extauth:admin",), lifetime=9 * DAY), BY)).record
        for end in (None, START + 10 * DAY):
            with pytest.raises(InvalidInputError, match="doesn't hold"):
                await it.service.update(made.key_id, KeyChange(expires_at=end), by)
        await it.service.update(made.key_id, KeyChange(expires_at=START + DAY), by)
        await it.service.disable(made.key_id, by)
        with pytest.raises(InvalidInputError, match="doesn't hold"):
            await it.service.enable(made.key_id, by)
        assert (await it.service.enable(made.key_id, BY)).active

    run(scenario)
