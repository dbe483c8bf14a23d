"""A service with two audiences, and traffic that gives its dashboard something to show."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from extauth.stores.usage import Place
from tests.nodes.node import HOST, Node

from .history import write_history

USER, OTHER_USER, OPERATOR = "alice", "bob", "ops"
# Who sends wrong keys, and is not banned yet.
STRANGER = "203.0.113.9"
# More than the quota holds.
FLOOD = 60

DOCUMENTATION = "https://docs.example.com"
_SETTINGS: dict[str, Any] = {
    "docs_url": DOCUMENTATION,
    "routes": [
        {"path": "/v1/orders/**", "name": "orders", "scopes": ["orders:read"]},
        {"path": "/v1/reports", "name": "reports", "scopes": ["reports:read"]},
    ],
    "tiers": {
        "default": {
            "rates": [
                "50/second burst 100",
                "1000/hour",
                {"rate": "5/hour", "name": "trial", "shadow": True},
            ],
            "quota": "100000/month",
        },
        "steady": {"rates": ["200/second"], "concurrency": {"max": 8}},
        "tight": {"rates": ["100/second", "20/day"], "quota": "2000/month"},
    },
    "abuse": {"per_address": {"failures": 50, "window": "1m", "ban": "1m", "longest": "1h"}, "allow": []},
}


class Scene:
    """A running service, the keys of its people, and requests of theirs."""

    def __init__(self, folder: Path) -> None:
        self._store_url = f"sqlite:///{folder / 'extauth.db'}"
        self.node = Node(folder, store_url=self._store_url, **_SETTINGS)
        self.node.child.start()
        self.operator = self.node.create_key("extauth:admin", "orders:read", "reports:read", user_id=OPERATOR)
        self.laptop = self.make_key("laptop", "orders:read", "reports:read")
        self.export = self.make_key("nightly export", "orders:read", tier="tight")
        self.bobs = self.make_key("checkout", "orders:read", user=OTHER_USER, tier="steady")

    @property
    def address(self) -> str:
        """Where the dashboard is, without a slash at the end."""
        return f"http://{HOST}:{self.node.admin_port}"

    def make_key(self, name: str, *scopes: str, user: str = USER, tier: str = "default") -> dict[str, Any]:
        """Make a key; its text is under `key`."""
        body = {"user_id": user, "name": name, "tier": tier, "scopes": scopes}
        made: dict[str, Any] = self.admin("POST", "/keys", body)
        return made

    def send(
        self, key: str, path: str = "/v1/orders/1", *, times: int = 1, address: str = "192.0.2.7"
    ) -> int:
        """Ask as Envoy does; return the last status."""
        connection = http.client.HTTPConnection(HOST, self.node.check_port, timeout=10)
        status = 0
        for _ in range(times):
            headers = {"x-api-key": key, "x-extauth-client-ip": address, "x-request-id": f"r-{times}"}
            connection.request("GET", f"/envoy{path}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        connection.close()
        return status

    def fill(self) -> None:
        """Give keys a past, and send what a morning might bring: too many, out of scope, with wrong keys."""
        write_history(
            self._store_url,
            {
                Place(key["key_id"], key["user_id"], key["tier"], "orders"): times
                for key, times in ((self.laptop, 3), (self.bobs, 2), (self.export, 1))
            },
        )
        self.send(self.laptop["key"], times=30)
        self.send(self.bobs["key"], times=6)
        self.send(self.bobs["key"], "/v1/reports", times=3)
        self.send(self.export["key"], times=FLOOD)
        self.send("xa_live_AAAAbbbb0000_wrong", times=4, address=STRANGER)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the admin API as the operator; return the body."""
        # A connection that is kept for later may have been closed for idleness by then.
        self.node.close()
        answer = self.node.admin(method, path, key=self.operator["key"], body=body)
        assert answer.status < 300, answer
        return answer.body

    def close(self) -> None:
        """End the service."""
        self.node.close()
        self.node.child.stop()
