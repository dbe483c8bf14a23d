"""The examples of answers are what a client really gets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from extauth.admin.problems import AdminCode
from extauth.docs.answers import Examples, admin_example, proxy_example
from extauth.docs.site import Site
from extauth.model import Code
from extauth.settings.model import Settings
from tests.answers import Reply
from tests.consumers.sites import CONFIGURATIONS, RICH, Document
from tests.fakes import FakeClock
from tests.world import World, open_world

DENIALS = [code for code in Code if code is not Code.ALLOWED]


def examples(**sections: Any) -> Examples:
    """Return the examples under some sections of the settings."""
    return Examples(Settings.model_validate(sections))


def really(folder: Path, *asked: tuple[str, bool]) -> list[Reply]:
    """Ask for paths, with a key or without, in a world with the rich settings."""

    async def run() -> list[Reply]:
        async with open_world(folder, clock=FakeClock(), **RICH) as world:
            key = await world.create_key(tier="free", scopes=("orders:none",))
            return [await world.ask(path, key=key.text if with_key else None) for path, with_key in asked]

    return asyncio.run(run())


def test_refusals_without_limits_are_the_real_ones(tmp_path: Path) -> None:
    """Status, headers and body, but for the request's own id."""
    codes = (Code.MISSING_KEY, Code.INSUFFICIENT_SCOPE, Code.ROUTE_DENIED, Code.AMBIGUOUS_PATH)
    asked = (("/v1/reports", False), ("/v1/orders/7", True), ("/nowhere", True), ("/v1//x", True))
    for code, reply in zip(codes, really(tmp_path, *asked), strict=True):
        example = examples(**RICH).denied(code)
        assert reply.code == code
        assert (example.status, dict(example.headers)) == (reply.status, reply.headers)
        shown, real = json.loads(example.body), reply.problem
        assert {**shown, "request_id": ""} == {**real, "request_id": ""}


def test_limits_are_told_as_they_really_are(tmp_path: Path) -> None:
    """The same headers with the same policies, on an allowed answer and on a 429."""

    async def scenario(world: World) -> tuple[Reply, Reply]:
        key = (await world.create_key()).text
        allowed = await world.ask(key=key)
        while (reply := await world.ask(key=key)).status == 200:
            pass
        return allowed, reply

    async def run() -> tuple[Reply, Reply]:
        async with open_world(
            tmp_path, clock=FakeClock(), tiers={"default": {"rates": ["5/second burst 3"]}}
        ) as world:
            return await scenario(world)

    allowed, refused = asyncio.run(run())
    found = examples(tiers={"default": {"rates": ["5/second burst 3"]}})
    example, limited = found.allowed(), found.denied(Code.RATE_LIMITED)
    identity = {"x-auth-key-id", "x-auth-user-id", "x-auth-scopes", "x-auth-tier"}
    for_envoy = {"x-envoy-auth-headers-to-remove"}
    assert dict(example.headers) == {
        name: value for name, value in allowed.headers.items() if name not in identity | for_envoy
    }
    assert dict(limited.headers) == refused.headers
    assert {**json.loads(limited.body), "request_id": ""} == {**refused.problem, "request_id": ""}


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("code", DENIALS)
def test_each_code_has_an_example_of_its_own(name: str, code: Code) -> None:
    """Whatever is set; a limit that nobody has set is named as made up."""
    example = examples(**CONFIGURATIONS[name]).denied(code)
    body = json.loads(example.body)
    assert (body["code"], body["status"]) == (code, example.status)
    headers = dict(example.headers)
    assert ("retry-after" in headers) == (example.status in {429, 503})
    assert int(headers.get("retry-after", "1")) >= 1
    limited = code in {Code.QUOTA_EXCEEDED, Code.COOLING_DOWN, Code.TOO_MANY_CONCURRENT, Code.RATE_LIMITED}
    nothing_set = name == "open" or (name == "nothing" and code is not Code.RATE_LIMITED)
    assert bool(example.made_up) == (limited and nothing_set)
    assert ("violated-policies" in body) == limited


def test_a_limit_of_another_tier_serves_as_an_example() -> None:
    """Nothing is made up that somebody has set."""
    found = examples(tiers={"pro": {"quota": "7/day"}}).denied(Code.QUOTA_EXCEEDED)
    assert (found.made_up, dict(found.headers)["x-ratelimit-limit"]) == ("", "7")
    route = {"path": "/x", "concurrency": {"max": 2}}
    crowded = examples(routes=[route]).denied(Code.TOO_MANY_CONCURRENT)
    assert (crowded.made_up, json.loads(crowded.body)["violated-policies"]) == ("", ["route-concurrency"])


def test_every_header_of_an_answer_is_explained() -> None:
    """On the page of headers, where its description can be linked to."""
    found = examples(**RICH)
    answers = [found.allowed(rotated=True), proxy_example(), *(found.denied(code) for code in DENIALS)]
    names = {name for answer in answers for name, _ in answer.headers}
    page = Document("headers", Site(Settings.model_validate(RICH)).make("headers").body.decode())
    assert names <= set(page.ids)
    assert {"deprecation", "sunset", "ratelimit", "www-authenticate"} <= names


def test_examples_stay_the_same() -> None:
    """Pages have validators, so the time of day must not show in them."""
    site, other = (Site(Settings.model_validate(RICH)) for _ in range(2))
    assert [site.make(path).tag for path in ("headers", "problems/quota_exceeded")] == [
        other.make(path).tag for path in ("headers", "problems/quota_exceeded")
    ]


def test_an_example_of_the_admin_api_is_its_own() -> None:
    """Made by what makes the real ones."""
    example = admin_example(AdminCode.CONFLICT)
    assert (example.status, json.loads(example.body)["code"]) == (409, "conflict")
    assert ("content-type", "application/problem+json") in example.headers
