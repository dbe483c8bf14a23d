"""Limits and durations of the settings in words, for readers who have never seen the settings."""

from __future__ import annotations

from datetime import timedelta

from extauth.model import Per
from extauth.settings.concurrency import ConcurrencySettings
from extauth.settings.cool_down import CoolDownSettings
from extauth.settings.rates import QuotaSettings, RateSettings
from extauth.settings.values import PERIODS

_WHOSE = {
    Per.KEY: "of each key",
    Per.USER: "of all keys of a user together",
    Per.IP: "of each client address",
    Per.ROUTE: "of each route, whoever calls",
    Per.ALL: "of everybody together",
}
_UNITS = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1_000, "millisecond": 1}
_NAMES = {period: name for name, period in PERIODS.items()}


def count(number: int, noun: str) -> str:
    """Return `1 request` or `1,000 requests`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(span: timedelta) -> str:
    """Return `1 hour 30 minutes`."""
    left, words = span // timedelta(milliseconds=1), []
    for unit, size in _UNITS.items():
        number, left = divmod(left, size)
        if number:
            words.append(count(number, unit))
    return " ".join(words)


def whose(per: Per) -> str:
    """Return whose requests are counted together."""
    return _WHOSE[per]


def rate(written: RateSettings) -> str:
    """Return how many requests in which time, and what happens at its edges."""
    amount, period, burst = written.rate
    requests, one = count(amount, "request"), _one(period)
    if written.algorithm == "fixed_window":
        return f"{requests} in each {one} of the calendar (UTC)"
    if written.algorithm == "sliding_window":
        return f"{requests} in any {one}"
    if burst is None:
        return f"{requests} every {one}, refilled evenly"
    return f"{count(burst, 'request')} at once, refilled evenly by {amount:,} every {one}"


def quota(written: QuotaSettings) -> str:
    """Return how many requests in which period of the calendar."""
    return (
        f"{count(written.rate.amount, 'request')} in each {_one(written.rate.period)} of the calendar (UTC)"
    )


def in_flight(written: ConcurrencySettings) -> str:
    """Return how many requests may be in flight, and what becomes of more."""
    text = f"{count(written.max, 'request')} in flight at once"
    if not written.queue:
        return text
    wait = timedelta(microseconds=written.to_concurrency().wait_us)
    return f"{text}; {written.queue:,} more wait for up to {duration(wait)}"


def cool_down(written: CoolDownSettings) -> str:
    """Return what becomes of a client that goes on past its refusals."""
    return (
        f"{count(written.violations, 'refusal')} within {duration(written.window)} begin a cool-down of "
        f"{duration(written.cool_down)}, in which all is refused. Each further one is twice as long, up to "
        f"{duration(written.longest)}."
    )


def _one(period: timedelta) -> str:
    return _NAMES.get(period) or duration(period)
