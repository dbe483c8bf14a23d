"""Rotation as clients of the real proxies see it: no call fails, and whoever is late is told."""

from __future__ import annotations

import email.utils
import time

from .client import request
from .conftest import Proxy
from .processes import wait_until
from .service import Service


def test_clients_with_the_old_key_are_told_by_every_proxy(proxy: Proxy, service: Service) -> None:
    """Deprecation and Sunset reach the client; the new key works at once, the old one until its end."""
    old = service.create_key("turning@example.com")

    def ask(text: str) -> tuple[int, str | None, str | None]:
        answer = request(proxy.port, "/a", headers=[("X-API-Key", text)])
        return answer.status, answer.header("deprecation"), answer.header("sunset")

    assert ask(old.text) == (200, None, None)
    new = service.rotate_key(old, grace="2h")
    wait_until(lambda: ask(old.text)[1] is not None, within=1, what="the rotation noticed")
    status, deprecation, sunset = ask(old.text)
    assert status == 200
    assert deprecation is not None
    assert sunset is not None
    since = int(deprecation.removeprefix("@"))
    assert abs(since - time.time()) < 60
    end = email.utils.parsedate_to_datetime(sunset).timestamp()
    assert abs(end - since - 7_200) <= 1
    assert ask(new.text) == (200, None, None)
    service.revoke_key(old)
    wait_until(lambda: ask(old.text)[0] == 401, within=1, what="the end noticed")
    assert ask(old.text) == (401, None, None)
