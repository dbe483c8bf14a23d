"""The stack of compose.yaml: statuses, keys that both servers share, and what becomes of failures."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from tests.integration.processes import wait_until

from .stack import PROXIES, SERVERS, SERVICES, Key, Stack
from .traffic import Caller, flowing

_BACK_WITHIN = 60.0


@pytest.fixture(scope="module")
def key(stack: Stack) -> Key:
    """A key that may read orders as often as anybody wants."""
    return stack.make_key("alice")


@pytest.fixture(scope="module")
def revoked(stack: Stack) -> Key:
    """A key that was revoked."""
    key = stack.make_key("mallory")
    stack.revoke(key, server=SERVERS[1])
    return key


@pytest.fixture(scope="module")
def spent(stack: Stack) -> Key:
    """A key that has used up its three requests of the day, through both proxies."""
    key = stack.make_key("bob", tier="rare")
    statuses = [stack.get(proxy, key).status for proxy in ("envoy", "nginx", "envoy", "nginx", "envoy")]
    assert statuses == [200, 200, 200, 429, 429]
    return key


def test_the_command_shows_every_answer_through_both_proxies(stack: Stack) -> None:
    """What `make demo-stack` prints: four statuses for each proxy, each with the line that showed it."""
    shown = re.findall(r"^# (\d{3}): .*\bthrough|^# (\d{3}): .*; \w+$", stack.shown, re.MULTILINE)
    assert ["".join(status) for status in shown] == 2 * ["200", "401", "403", "429"]


@pytest.mark.parametrize("proxy", PROXIES)
def test_every_status_comes_through(stack: Stack, proxy: str, key: Key, spent: Key) -> None:
    """Each proxy turns what extauth says into a true answer, and the API learns who calls, not the key."""
    allowed = stack.get(proxy, key)
    assert allowed.status == 200
    assert b'"X-Auth-User-Id": "alice"' in allowed.body
    assert b'"api_key_received": false' in allowed.body
    for refused, status, code in (
        (stack.get(proxy), 401, "missing_key"),
        (stack.get(proxy, key, "/v1/admin/users"), 403, "insufficient_scope"),
        (stack.get(proxy, spent), 429, "rate_limited"),
    ):
        assert (refused.status, refused.problem()["code"]) == (status, code)


@pytest.mark.parametrize(("maker", "other"), [SERVERS, SERVERS[::-1]])
def test_a_key_of_one_server_is_known_to_the_other(stack: Stack, maker: str, other: str) -> None:
    """At once, and once it is revoked on the one, the very next check of each refuses it."""
    key = stack.make_key("carol", server=maker)
    assert [stack.ask(server, key) for server in (other, maker)] == [200, 200]
    stack.revoke(key, server=maker)
    assert [stack.ask(server, key) for server in (other, maker)] == [401, 401]
    assert [stack.get(proxy, key).status for proxy in PROXIES] == [401, 401]


def test_nothing_secret_is_in_an_environment(stack: Stack, key: Key) -> None:
    """Neither a pepper nor a password, nor in how a container was started or in what it has written."""
    secrets = [(stack.secrets / name).read_text().encode() for name in ("pepper", "redis_password")]
    secrets.append(key.text.rpartition("_")[2].encode())
    for service in SERVICES:
        container = stack.container(service)
        told = [repr(container.attrs).encode(), container.logs()]
        assert not any(secret in text for secret in secrets for text in told), service


def test_everything_runs_with_as_few_rights_as_it_needs(stack: Stack) -> None:
    """No root, no capability, nothing that can be written but what is named, and ports on loopback only."""
    for service in SERVICES:
        attributes = stack.container(service).attrs
        host = attributes["HostConfig"]
        assert attributes["Config"]["User"].partition(":")[0] not in {"", "0", "root"}, service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        published = itertools.chain.from_iterable((host["PortBindings"] or {}).values())
        assert {port["HostIp"] for port in published} <= {"127.0.0.1"}, service


def test_a_server_that_is_killed_is_not_missed_and_can_be_replaced(stack: Stack, key: Key) -> None:
    """The proxies ask the other one; the new container answers as the old one did."""
    victim = stack.container(SERVERS[0])
    victim.kill()
    assert [stack.get(proxy, key).status for _ in range(10) for proxy in PROXIES] == 20 * [200]
    victim.remove()
    stack.call("up", "--detach", "--no-deps", SERVERS[0])
    stack.wait_until_healthy(SERVERS[0])
    assert stack.ask(SERVERS[0], key) == 200


def _passes(stack: Stack, proxy: str, key: Key) -> bool:
    return stack.get(proxy, key).status == 200


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_can_be_restarted(stack: Stack, key: Key, proxy: str) -> None:
    """What it writes to is still its own then."""
    stack.container(proxy).restart()
    stack.wait_until_healthy(proxy)
    assert stack.get(proxy, key).status == 200


def test_everything_is_as_it_was_after_a_restart_of_redis(
    stack: Stack, key: Key, revoked: Key, spent: Key
) -> None:
    """Keys, a revocation and what was spent of limits are on the disk, and the servers find Redis again."""
    stack.container("redis").restart()
    stack.wait_until_healthy("redis", *SERVERS)
    for server in SERVERS:
        # Each has one connection for limits and others for keys, and what it said of its health may be old.
        back = partial(_answers, stack, server, {key: 200, revoked: 401})
        wait_until(back, within=_BACK_WITHIN, what=f"{server} with all of its store")
    for proxy in PROXIES:
        wait_until(partial(_passes, stack, proxy, key), within=_BACK_WITHIN, what=f"200 through {proxy}")
        assert [stack.get(proxy, other).status for other in (revoked, spent)] == [401, 429]


def _answers(stack: Stack, server: str, expected: Mapping[Key, int]) -> bool:
    return all(stack.ask(server, key) == status for key, status in expected.items())


def _callers(stack: Stack, keys: Sequence[tuple[str, Key, float]]) -> list[Caller]:
    return [
        Caller(f"{name} {proxy}", stack.port(proxy), key.text, rate)
        for proxy in PROXIES
        for name, key, rate in keys
    ]


def test_a_rolling_restart_fails_no_request(stack: Stack, key: Key, revoked: Key, spent: Key) -> None:
    """200 requests a second while both servers are replaced: none fails, nothing is forgotten or given twice.

    A key that is revoked while only one of them runs is refused by the other, too, when that is back.
    """
    leaver = stack.make_key("eve")
    busy = [("first", key, 45), ("second", key, 45), ("revoked", revoked, 3), ("spent", spent, 7)]
    with flowing(_callers(stack, busy)) as traffic:
        traffic.wait_for_more(20)
        stack.container(SERVERS[0]).stop()
        stack.revoke(leaver, server=SERVERS[1])
        stack.replace(SERVERS[0])
        stack.replace(SERVERS[1])
        traffic.wait_for_more(20)
    assert traffic.faults == []
    expected = {"first": {200}, "second": {200}, "revoked": {401}, "spent": {429}}
    for name, statuses in traffic.statuses.items():
        assert set(statuses) == expected[name.partition(" ")[0]], (name, statuses)
    assert [stack.ask(server, leaver) for server in SERVERS] == [401, 401]
