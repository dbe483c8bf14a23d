"""HAProxy with a Lua action that is broken: HAProxy itself would let requests pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import shipped
from .client import request
from .conftest import Keys
from .processes import free_ports
from .service import Service
from .upstream import Upstream

_FAULTS = {
    "fault": "local nothing = nil; nothing.field = 1",
    "no answer": "do return end",
}


@pytest.fixture(params=_FAULTS)
def broken(
    request: pytest.FixtureRequest, tmp_path: Path, service: Service, session_upstream: tuple[Upstream, int]
) -> Iterator[int]:
    """The shipped files with a fault at the beginning of the check, and where that listens."""
    named = shipped.all_ports()
    ports = dict(zip(named, free_ports(len(named)), strict=True))
    ports |= {8082: session_upstream[1], 9000: service.check_port}
    haproxy = shipped.child("haproxy", tmp_path, ports)
    script = tmp_path / "extauth.lua"
    place = 'core.register_action("extauth_check", { "http-req" }, function(txn)\n'
    text = script.read_text()
    assert text.count(place) == 1
    script.write_text(text.replace(place, f"{place}  {_FAULTS[request.param]}\n"))
    haproxy.start()
    yield ports[8085]
    haproxy.stop()


def test_a_broken_action_lets_nothing_pass(broken: int, keys: Keys, upstream: Upstream) -> None:
    """The guard refuses what the action didn't allow, even if that never got as far as asking."""
    for headers in ([("X-API-Key", keys.reader.text)], []):
        answer = request(broken, "/public/a", headers=headers)
        assert answer.status == 503
        assert answer.problem()["code"] == "authorization_unavailable"
    assert upstream.requests == []
