"""How proxies write addresses, durations and texts."""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import timedelta

from extauth.settings.values import Address

_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# What YAML 1.1 takes for something else than text.
_YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


def is_name(address: Address) -> bool:
    """Tell whether somebody has to look the host up."""
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        return not address.is_unix
    return False


def plain(duration: timedelta) -> str:
    """Write a duration as nginx, HAProxy and Go read it: `1s`, else `1550ms`."""
    if not duration % _SECOND:
        return f"{duration // _SECOND}s"
    return f"{duration // _MILLISECOND}ms"


def in_seconds(duration: timedelta) -> str:
    """Write a duration as protobuf's JSON does: `1s`, `1.55s`."""
    return f"{duration // _MILLISECOND / 1000:.3f}".rstrip("0").rstrip(".") + "s"


def yaml_text(text: str) -> str:
    """Write a text as YAML does: bare where that is one word, else quoted."""
    return text if _BARE.fullmatch(text) and text.lower() not in _YAML_WORDS else json.dumps(text)
