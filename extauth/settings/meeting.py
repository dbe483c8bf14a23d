"""The limits that meet in one answer: their names must differ, and a route's cost must fit into each of them.

It finds mistakes that no field makes alone, each with the path of the field to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from extauth.limits.cool_down import COOL_DOWN
from extauth.model import Limit
from extauth.settings.base import Path
from extauth.settings.limits import PER_KEY, LimitSettings
from extauth.settings.routing import RouteSettings, TierSettings

Mistakes = Iterator[tuple[Path, str]]


class _Placed(NamedTuple):
    """A limit, the path of its field, and what to call the place."""

    limit: Limit
    path: Path
    where: str


# Limits of a route, and those of its callers.
_Meeting = tuple[tuple[_Placed, ...], tuple[_Placed, ...]]


class _Callers(NamedTuple):
    """The limits that stand at no route: those of keys by tier, of callers without a key, and of both."""

    tiers: tuple[_Placed, ...]
    anonymous: tuple[_Placed, ...]
    common: tuple[_Placed, ...]

    def meeting(self, route: RouteSettings, own: tuple[_Placed, ...]) -> Iterator[_Meeting]:
        """Return what requests of a route meet: those with a key, and those without one."""
        if route.auth != "none":
            yield own, (*self.tiers, *self.common)
        if route.auth != "required":
            yield _without_key(own), (*self.anonymous, *_without_key(self.common))


def mistakes_of(
    routes: Sequence[RouteSettings], tiers: Mapping[str, TierSettings], limits: LimitSettings
) -> list[tuple[Path, str]]:
    """Return what is wrong with limits that meet."""
    callers = _Callers(
        tiers=tuple(placed for name, tier in tiers.items() for placed in _of_tier(name, tier)),
        anonymous=tuple(_of_anonymous(limits)),
        common=_placed(limits.to_common(), ("limits", "rates"), "'limits.rates'"),
    )
    found = list(_clashes(callers.common, callers.tiers))
    found += _clashes(callers.anonymous, _without_key(callers.common))
    found += _doubled_names(routes)
    for position, route in enumerate(routes):
        found += _of_route(position, route, callers)
    return list(dict.fromkeys(found))


def _of_tier(name: str, tier: TierSettings) -> Iterator[_Placed]:
    for position, limit in enumerate(tier.to_limits()):
        at: Path = ("quota",) if limit.is_quota else ("rates", position)
        if limit.algorithm == COOL_DOWN.name:
            at = ("cool_down",)
        yield _Placed(limit, ("tiers", name, *at), f"tier {name!r}")


def _of_anonymous(limits: LimitSettings) -> Iterator[_Placed]:
    for placed in _placed(limits.to_anonymous(), ("limits", "anonymous"), "'limits.anonymous'"):
        if placed.limit.algorithm == COOL_DOWN.name:
            yield _Placed(placed.limit, ("limits", "anonymous_cool_down"), "'limits.anonymous_cool_down'")
        else:
            yield placed


def _placed(limits: Iterable[Limit], path: Path, where: str) -> tuple[_Placed, ...]:
    return tuple(_Placed(limit, (*path, position), where) for position, limit in enumerate(limits))


def _without_key(placed: Iterable[_Placed]) -> tuple[_Placed, ...]:
    """Return those that count requests without a key too."""
    return tuple(each for each in placed if each.limit.per not in PER_KEY)


def _clashes(mine: Iterable[_Placed], others: Sequence[_Placed]) -> Mistakes:
    """Find names of mine that others have too: clients tell the limits of an answer apart by name."""
    for each in mine:
        other = next((other for other in others if other.limit.name == each.limit.name), None)
        if other is not None:
            both = f"also the name of a limit of {other.where}, and requests may meet both"
            yield each.path, f"{each.limit.name!r} is {both}: give one of them another 'name'"


def _doubled_names(routes: Sequence[RouteSettings]) -> Mistakes:
    """Find routes whose limits would count together, because they are counted under the route's name."""
    first_with: dict[str, int] = {}
    for position, route in enumerate(routes):
        if not route.limits and route.concurrency is None:
            continue
        first = first_with.setdefault(route.label, position)
        if first == position:
            continue
        if route.name or routes[first].name:
            hint = "give one of them another 'name'"
        else:
            hint = "they are called by their path, so give them a 'name'"
        at = ("routes", position, "name" if route.name else "path")
        yield at, f"routes[{first}] has limits and is called {route.label!r} too: {hint}"


def _of_route(position: int, route: RouteSettings, callers: _Callers) -> Mistakes:
    own = _placed(route.to_limits(), ("routes", position, "limits"), "the route")
    if route.auth == "none":
        for placed in own:
            if placed.limit.per in PER_KEY:
                nobody = f"counts per {placed.limit.per}, but with 'auth: none' no key is looked at"
                yield placed.path, f"{nobody}: say per: ip, route or all"
        if route.concurrency is not None and route.concurrency.per in PER_KEY:
            nobody = f"counts per {route.concurrency.per}, but with 'auth: none' no key is looked at"
            yield ("routes", position, "concurrency"), f"{nobody}: say per: ip or route"
    met: dict[_Placed, None] = {}
    for mine, others in callers.meeting(route, own):
        yield from _clashes(mine, others)
        met |= dict.fromkeys((*mine, *others))
    if not route.shadow:
        yield from _too_dear(position, route.cost, met)


def _too_dear(position: int, cost: int, met: Iterable[_Placed]) -> Mistakes:
    """Find limits that a request of this cost could never pass."""
    too_small = [
        f"{limit.name!r} of {where} holds {limit.capacity}"
        for limit, _, where in met
        if limit.capacity < cost and not limit.shadow and limit.algorithm != COOL_DOWN.name
    ]
    if too_small:
        yield ("routes", position, "cost"), f"{cost} could never pass: {', '.join(too_small)}"
