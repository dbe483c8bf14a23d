from __future__ import annotations

from .client import Connection
from .conftest import Proxy
from .processes import wait_until
from .service import Service
from .upstream import Upstream


def test_a_revoked_key_is_refused_within_a_fifth_of_a_second(
    proxy: Proxy, service: Service, upstream: Upstream
) -> None:
    """A revocation made by the command line holds at once, on the very connection that the key just used."""
    key = service.create_key("leaving@example.com")
    headers = [("X-API-Key", key.text)]
    with Connection(proxy.port) as connection:
        assert [connection.request("/any", headers=headers).status for _ in range(3)] == [200, 200, 200]
        service.revoke_key(key)
        wait_until(
            lambda: connection.request("/any", headers=headers).status == 401,
            within=0.2,
            what="the key refused",
        )
        passed = len(upstream.requests)
        answers = [connection.request("/any", headers=headers) for _ in range(5)]
    assert [answer.status for answer in answers] == [401] * 5
    assert {answer.problem()["code"] for answer in answers} == {"invalid_key"}
    assert len(upstream.requests) == passed
