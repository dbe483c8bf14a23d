"""Which addresses are never banned by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from extauth.limits.plan import subject_of_address


class AllowedAddresses:
    """A list of networks. IPv4 in IPv6 is IPv4, as limits have it."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def read(self, address: str) -> tuple[str, bool]:
        """Return the subject that an address counts as, and whether it is allowed.

        The subject is empty where nobody can tell whose address it is: then all would be banned for one.
        """
        parsed = _parsed(address)
        if parsed is None:
            return "", False
        # An address and a network of two versions are never in each other.
        return subject_of_address(address), any(parsed in network for network in self._networks)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return parsed if isinstance(parsed, IPv4Address) or parsed.ipv4_mapped is None else parsed.ipv4_mapped
