"""What somebody may do whose key this is: as an operator, and with their own keys."""

from __future__ import annotations

from extauth.admin.access import holds
from extauth.keys.scopes import ADMIN_SCOPES
from extauth.model import ApiKey
from extauth.settings.dashboard import SelfServiceSettings


def is_operator(key: ApiKey) -> bool:
    """Tell whether a key may see anything of others."""
    return any(holds(key, scope) for scope in ADMIN_SCOPES)


def may(key: ApiKey, rules: SelfServiceSettings) -> dict[str, bool]:
    """Return what the holder may do with the keys of its user.

    A key that was replaced may have leaked, which may be why: it makes no further keys.
    """
    current = key.rotated_to is None
    return {
        "create": rules.create and current,
        "rotate": rules.rotate and current,
        "revoke": rules.revoke,
    }
