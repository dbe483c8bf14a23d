"""Who may report: ending a lease is an authority, so only configured networks have it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Sources:
    """The networks that signals are taken from."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        # Parsing an address for each datagram would cost more than reading it.
        self._admits_host = lru_cache(maxsize=1_024)(self._look_up)

    def admits(self, peer: object, *, unix: bool) -> bool:
        """Tell whether a socket's peer may report; who reaches a unix socket always may."""
        return unix or (isinstance(peer, tuple) and self._admits_host(peer[0]))

    def _look_up(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
