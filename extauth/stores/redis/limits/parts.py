"""What of a plan is asked of each slot of a Redis Cluster, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from extauth.limits.plan import Plan, Take
from extauth.model import Per
from extauth.stores.limits import Known
from extauth.stores.redis import layout
from extauth.stores.redis.limits.asking import Mode, Question, named, question
from extauth.throttle.slots import Place

_SHARED_BY = {per: number for number, per in enumerate((Per.KEY, Per.USER, Per.IP, Per.ROUTE, Per.ALL))}


class Part(NamedTuple):
    """What is asked of one slot; `at_last` where the check can't wait any more for slots of `places`."""

    slot: int
    takes: tuple[Take, ...]
    places: tuple[Place, ...]
    asked: Question
    at_last: Question
    name: str = ""

    def wanted_by(self, client: str, name: str, lease: str, *, may_wait: bool) -> Part:
        """Return it with the claim of this name, which takes turns as the client."""
        if not self.places:
            return self
        asked = named(self.asked if may_wait else self.at_last, name, client, lease, "")
        return self._replace(asked=asked, name=name)

    def given_back(self, takes: Sequence[Take]) -> Question | None:
        """Return what gives back these takes and the slots; None where there is nothing."""
        if not takes and not self.places:
            return None
        asked = question(takes, mode=Mode.GIVE_BACK, places=self.places)
        return named(asked, self.name, "", "", "") if self.places else asked


def parts_of(plan: Plan, record: Known | None) -> tuple[Part, ...]:
    """Return what is asked of each slot, in the order in which they are asked."""
    groups: dict[int, tuple[list[Take], list[Place]]] = {}
    if record is not None:
        groups[layout.slot_of(layout.record(record.key_id))] = ([], [])
    for take in sorted(plan.all_takes, key=lambda take: _SHARED_BY[take.limit.per]):
        groups.setdefault(layout.slot_of(layout.limits_of(take.subject)), ([], []))[0].append(take)
    for place in plan.places:
        groups.setdefault(layout.slot_of(layout.slots_of(place.subject, place.field)), ([], []))[1].append(
            place
        )
    parts = []
    for number, (slot, (takes, some)) in enumerate(groups.items()):
        # The key's version is looked at first of all.
        compared = record if number == 0 else None
        places = tuple(some)
        asked = question(takes, compared, places=places)
        at_last = question(takes, compared, places=places, may_wait=False) if places else asked
        parts.append(Part(slot, tuple(takes), places, asked, at_last))
    return tuple(parts)
