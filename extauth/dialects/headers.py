"""The answer headers that all dialects share.

Identity, limits, challenges. As bytes, prepared once for each key and each tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import format_datetime

from extauth.bounded import Memo
from extauth.clock import MICROSECONDS, Clock
from extauth.model import CALENDAR_MONTH, ApiKey, Code, Identified, Limit, LimitSet, PlainUsage

_PREPARED = 16_384
# Who is calling where nobody is identified. All four lines are always there, so that none can be forged.
NOBODY = b"x-auth-key-id: \r\nx-auth-user-id: \r\nx-auth-scopes: \r\nx-auth-tier: \r\n"


class HeaderWriter:
    """Writes header lines.

    `epoch_reset` makes X-RateLimit-Reset a moment (GitHub's reading) instead of a duration.
    """

    def __init__(self, *, realm: str, epoch_reset: bool, clock: Clock) -> None:
        self._challenge = f'Bearer realm="{realm}"'
        self.epoch_reset = epoch_reset
        self._clock = clock
        self._templates: Memo[LimitSet, bytes] = Memo(_limit_template, _PREPARED)

    def limits(self, limit_set: LimitSet, usages: Sequence[PlainUsage]) -> bytes:
        """Return X-RateLimit-*, RateLimit-Policy and RateLimit.

        X-RateLimit-* speak of the limit that is nearest to refusing. `t` and X-RateLimit-Reset are the
        seconds until nothing of the limit is spent any more, and after a refusal until the same request can
        pass.
        """
        numbers: list[int] = []
        quota = least = longest_us = reset = -1
        for limit, _, remaining, reset_us, retry_us in usages:
            # Rounded up: a client that waits this many whole seconds has waited enough.
            seconds = ((retry_us or reset_us) + 999_999) // 1_000_000
            numbers += remaining, seconds
            if least < 0 or remaining < least or retry_us > longest_us:
                quota, least, longest_us, reset = limit[1], remaining, retry_us, seconds
        if self.epoch_reset:
            reset += (self._clock.now_us() + 999_999) // MICROSECONDS
        return self._templates[limit_set] % (quota, least, reset, *numbers)

    def challenge(self, code: Code, needed_scopes: tuple[str, ...]) -> str:
        """Return the value of WWW-Authenticate (RFC 6750 section 3), or an empty text where none belongs."""
        if code is Code.MISSING_KEY:
            return self._challenge
        if code is Code.INVALID_KEY:
            return f'{self._challenge}, error="invalid_token"'
        if code is Code.INSUFFICIENT_SCOPE:
            return f'{self._challenge}, error="insufficient_scope", scope="{" ".join(needed_scopes)}"'
        return ""


def identity(whose: Identified) -> bytes:
    """Return the lines that say who is calling, for the upstream; see `NOBODY`."""
    key = whose.key
    whose.identity = (
        f"x-auth-key-id: {key.key_id}\r\nx-auth-user-id: {key.user_id}\r\n"
        f"x-auth-scopes: {' '.join(key.scopes)}\r\nx-auth-tier: {key.tier}\r\n"
    ).encode("latin-1") + ageing(key)
    return whose.identity


def ageing(key: ApiKey | None) -> bytes:
    """Return Deprecation (RFC 9745) and Sunset (RFC 8594) for callers with a key that was rotated.

    Since when there is another, and when this one ends. Nothing for all other callers.
    """
    if key is None or key.rotated_at is None or key.grace_until is None:
        return b""
    since = int(key.rotated_at.timestamp())
    end = format_datetime(key.grace_until, usegmt=True)
    return f"deprecation: @{since}\r\nsunset: {end}\r\n".encode("ascii")


# This and `_limit_template` write the syntax of draft-ietf-httpapi-ratelimit-headers-11. A later draft is a
# change of these two functions only.
def _policy(limit: Limit) -> str:
    """Describe a limit as a quota `q` in a window `w`.

    Of a bucket its capacity, and the seconds in which that is refilled. A month is no number of seconds.
    """
    if limit.period_us == CALENDAR_MONTH:
        return f'"{limit.name}";q={limit.capacity}'
    window = -(-limit.capacity * limit.period_us // (limit.rate * MICROSECONDS))
    return f'"{limit.name}";q={limit.capacity};w={max(window, 1)}'


def _limit_template(limit_set: LimitSet) -> bytes:
    """Return the header lines with places for limit, remaining, reset, then `r` and `t` of each limit."""
    limits = limit_set.limits
    policy = ", ".join(_policy(limit) for limit in limits)
    state = ", ".join(f'"{limit.name}";r=%d;t=%d' for limit in limits)
    return (
        "x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n"
        f"ratelimit-policy: {policy}\r\nratelimit: {state}\r\n"
    ).encode("latin-1")
