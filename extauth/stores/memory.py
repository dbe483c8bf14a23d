"""The limit store of the embedded mode: buckets in this process.

It is also the reference for every other limit store. One event loop uses it, so a step needs no lock.
`write_behind.py` keeps its buckets across restarts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from extauth.limits.algorithm import BucketState
from extauth.limits.cool_down import violate
from extauth.limits.plan import Plan, Take
from extauth.model import Usage
from extauth.stores.limits import Seen, Taken
from extauth.throttle.claims import Claim
from extauth.throttle.memory import Candidate, MemoryLeases

# How many buckets one sweep looks at: bounded, so that a sweep of a million buckets never holds up a check.
SWEPT_AT_ONCE = 2_000


class Unsaved(NamedTuple):
    """What has changed since it was last asked for.

    Buckets with their states, and buckets that are full again.
    """

    states: dict[str, BucketState]
    forgotten: set[str]


def _clear_at_us(state: BucketState) -> int:
    return state[3]


class MemoryLimitStore:
    """Buckets in a dictionary.

    An absent bucket has nothing spent, so those that are full again needn't be kept.
    """

    def __init__(self) -> None:
        self._states: dict[str, BucketState] = {}
        self._unsaved: dict[str, BucketState] = {}
        self._forgotten: set[str] = set()
        self._to_sweep: list[str] = []
        self.leases = MemoryLeases()

    def __len__(self) -> int:
        return len(self._states)

    def acquire(self, plan: Plan, now_us: int, claim: Claim | None = None, *, may_wait: bool = True) -> Taken:
        """Take from every bucket of the plan if all of them have room, else from none. See `LimitStore`."""
        states, unsaved = self._states, self._unsaved
        cool_down = plan.cool_down
        if cool_down is not None and not self._has_cooled(cool_down, now_us):
            return self._refused(plan, now_us, claim)
        taken = []
        usages = []
        for bucket, limit, cost, numbers, step, tell in plan.steps or plan.named_steps():
            allowed, state = step(states.get(bucket), numbers, now_us)
            if not allowed:
                return self._refused(plan, now_us, claim)
            taken.append((bucket, state))
            usages.append(tell(limit, cost, True, state, now_us))
        lease = ""
        if claim is not None and plan.places:
            candidate = tuple.__new__(Candidate, (claim.name, plan.client, claim.request_id))
            blocked = self.leases.take(candidate, plan.places, now_us, may_wait=may_wait)
            if blocked is not None:
                return Taken(False, self.look(plan, now_us).usages_of(plan.takes), blocked=blocked)
            lease = claim.name
        for bucket, state in taken:
            states[bucket] = unsaved[bucket] = state
        shadowed = self._take_shadows(plan, now_us) if plan.shadows else ()
        return tuple.__new__(Taken, (True, tuple(usages), shadowed, lease, None, 0, 0))

    def look(self, plan: Plan, now_us: int) -> Seen:
        """Return how the limits of the plan stand, and take nothing."""
        buckets = (take.bucket for take in plan.all_takes)
        return Seen(now_us, {bucket: self._states[bucket] for bucket in buckets if bucket in self._states})

    def reset(self, plan: Plan) -> None:
        """Forget what was spent of the limits of this plan."""
        for take in plan.all_takes:
            if self._states.pop(take.bucket, None) is not None:
                self._unsaved.pop(take.bucket, None)
                self._forgotten.add(take.bucket)

    def _refused(self, plan: Plan, now_us: int, claim: Claim | None) -> Taken:
        """Nothing is taken: limits that would have allowed it stand as they stood before."""
        if claim is not None:
            self.leases.give_up(claim.name, plan.places)
        usages = []
        for take in plan.takes:
            before = self._states.get(take.bucket)
            allowed, state = take.step(before, take.numbers, now_us)
            usages.append(take.look(before, now_us, allowed=allowed))
            if not allowed:
                self._keep_if_moved(take.bucket, before, state)
        if plan.cool_down is not None:
            usage = self.violate(plan.cool_down, now_us)
            if not usage.allowed:
                usages.append(usage)
        return Taken(allowed=False, usages=tuple(usages))

    def _has_cooled(self, cool_down: Take, now_us: int) -> bool:
        before = self._states.get(cool_down.bucket)
        return before is None or cool_down.step(before, cool_down.numbers, now_us)[0]

    def violate(self, cool_down: Take, now_us: int) -> Usage:
        """Count a refusal, and return how the cool-down stands then: it may refuse from this one on."""
        before = self._states.get(cool_down.bucket)
        state = violate(before, cool_down.numbers, now_us)
        if state != before:
            self._states[cool_down.bucket] = self._unsaved[cool_down.bucket] = state
        allowed, state = cool_down.step(state, cool_down.numbers, now_us)
        return Usage(*cool_down.tell(cool_down.limit, cool_down.cost, allowed, state, now_us))

    def _take_shadows(self, plan: Plan, now_us: int) -> tuple[str, ...]:
        """Take from each limit in shadow that has room; return the names of those that would have refused."""
        shadowed = []
        for take in plan.shadows:
            before = self._states.get(take.bucket)
            allowed, state = take.step(before, take.numbers, now_us)
            if allowed:
                self._states[take.bucket] = self._unsaved[take.bucket] = state
            else:
                shadowed.append(take.limit.name)
                self._keep_if_moved(take.bucket, before, state)
        return tuple(shadowed)

    def _keep_if_moved(self, bucket: str, before: BucketState | None, state: BucketState) -> None:
        """Keep the state of a refusal where it is more than the one before at a later time. See `Step`.

        Without this a clock that jumps back an hour would lock out for an hour whoever is refused then.
        """
        if before is not None and _clear_at_us(before) != _clear_at_us(state):
            self._states[bucket] = self._unsaved[bucket] = state

    def restore(self, states: Iterable[tuple[str, BucketState]]) -> None:
        """Put back what an archive kept; buckets that are in use already stay as they are."""
        for bucket, state in states:
            self._states.setdefault(bucket, state)

    def sweep(self, now_us: int) -> None:
        """Forget some of the buckets that are full again.

        Called now and then, it gets round to all of them.
        """
        if not self._to_sweep:
            self._to_sweep = list(self._states)
        candidates = self._to_sweep[-SWEPT_AT_ONCE:]
        del self._to_sweep[-SWEPT_AT_ONCE:]
        for bucket in candidates:
            state = self._states.get(bucket)
            if state is not None and _clear_at_us(state) <= now_us:
                del self._states[bucket]
                self._unsaved.pop(bucket, None)
                self._forgotten.add(bucket)

    def take_unsaved(self) -> Unsaved:
        """Hand over what has changed since the last call; whoever takes it must write it or give it back."""
        unsaved = Unsaved(self._unsaved, self._forgotten)
        self._unsaved = {}
        self._forgotten = set()
        return unsaved

    def give_back(self, unsaved: Unsaved) -> None:
        """Count these as unsaved again, where nothing newer has come since."""
        for bucket, state in unsaved.states.items():
            if bucket in self._states:
                self._unsaved.setdefault(bucket, state)
        self._forgotten.update(bucket for bucket in unsaved.forgotten if bucket not in self._states)
