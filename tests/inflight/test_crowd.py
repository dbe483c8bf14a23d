"""The crowd itself: it sees a limit that doesn't hold, and leases that stay."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.conftest import Proxy

from .conftest import Stage
from .crowd import Report, crowd, sequence

_MAXIMUM = 4
_SECONDS = 3.0
# Which proxy is between plays no part in what the crowd itself can see.
JUDGED = pytest.mark.parametrize("proxy", ["nginx"], indirect=True)


def _run(stage: Stage, proxy: Proxy) -> Report:
    return asyncio.run(
        crowd(
            proxy.port,
            stage.authority.keys(12),
            seconds=_SECONDS,
            parallel=_MAXIMUM + 2,
            maximum=_MAXIMUM,
            upstream=stage.upstream,
            held=stage.authority.left,
        )
    )


@JUDGED
def test_the_crowd_sees_a_limit_that_does_not_hold(
    stage: Stage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lease too many shows at the upstream."""
    monkeypatch.setattr(stage.authority, "maximum", _MAXIMUM + 1)
    assert _run(stage, proxy).most == _MAXIMUM + 1


@JUDGED
def test_the_crowd_sees_leases_that_stay(stage: Stage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no signal comes all slots are soon taken for ever."""
    monkeypatch.setattr(stage.authority, "maximum", _MAXIMUM)
    monkeypatch.setattr(stage.authority, "deaf", True)
    report = _run(stage, proxy)
    assert report.left_upstream == 0
    assert report.left_held == _MAXIMUM * 12
    assert {client.free for client in report.clients} == {0}
    stage.authority.forget()


def test_one_request_after_the_other_is_answered(stage: Stage, proxy: Proxy) -> None:
    """The client that never has two requests in flight gets an answer to each."""
    assert asyncio.run(sequence(proxy.port, "somebody", count=300)) == {200: 300}
    assert stage.upstream.most["somebody"] == 1
