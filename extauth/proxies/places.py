"""Where a printed configuration listens, and where it sends requests."""

from __future__ import annotations

from dataclasses import dataclass

from extauth.settings.values import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The addresses that no setting of extauth knows.

    `listen` is where clients connect, `upstream` the API. `internal` is where the proxy listens for itself:
    the admin page of Envoy, HAProxy's own way to extauth; None where it doesn't.
    """

    listen: Address
    upstream: Address
    internal: Address | None = None


SAMPLE_UPSTREAM = Address("127.0.0.1", 8082)
