"""How operators write networks."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from extauth.settings.base import KIND

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Those of this machine.
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def _to_network(value: object) -> Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an address or a network such as 10.0.0.0/8")  # noqa: TRY004 - pydantic collects ValueErrors only
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"not a network such as 10.0.0.0/8, 192.0.2.7 or fd00::/8: {error}") from None


NetworkText = Annotated[
    Network,
    PlainValidator(_to_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", KIND: "network", "examples": ["10.0.0.0/8", "192.0.2.7", "fd00::/8"]}),
]
