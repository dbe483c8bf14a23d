"""Slots are never handed out twice, never lost, and clients that share them take turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from extauth.throttle.slots import Concurrency, Slots, Waiting

CLIENTS = ("a", "b", "c")
LIMIT = Concurrency(most=3, lease_us=1_000, queue=4, wait_us=100)


class AgainstAList(RuleBasedStateMachine):
    """Leases are those that were given and neither let go of nor ended; never more than the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots()
        self.now_us = 0
        self.held: dict[str, int] = {}
        self.waiting: dict[str, int] = {}
        self.number = 0

    def _ask(self, name: str, client: str) -> None:
        if self.slots.has_turn(name, LIMIT, self.now_us):
            self.slots.lease(name, LIMIT, self.now_us)
            self.waiting.pop(name, None)
            self.held[name] = self.now_us + LIMIT.lease_us
            return
        accepted, ousted = self.slots.wait(name, client, LIMIT, self.now_us)
        if ousted is not None:
            del self.waiting[ousted]
        if accepted:
            self.waiting.setdefault(name, self.now_us + LIMIT.wait_us)

    @rule(client=st.sampled_from(CLIENTS))
    def come(self, client: str) -> None:
        self.number += 1
        free = LIMIT.most - len(self.held)
        waited = len(self.waiting)
        name = f"{client}{self.number}"
        self._ask(name, client)
        # A newcomer overtakes nobody, and is not kept waiting without a reason.
        assert (name in self.held) == (free > waited)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.waiting)))
        called = self.slots.called(LIMIT, self.now_us)
        self._ask(name, name[0])
        assert (name in self.held) == (name in called)

    @precondition(lambda self: self.held or self.waiting)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held | self.waiting)))
        assert self.slots.let_go(name) == (name in self.held)
        assert not self.slots.let_go(name)
        self.held.pop(name, None)
        self.waiting.pop(name, None)

    @rule(step_us=st.sampled_from((1, 50, 100, 999, 1_000)))
    def wait(self, step_us: int) -> None:
        self.now_us += step_us
        self.held = {name: until for name, until in self.held.items() if until > self.now_us}
        self.waiting = {name: until for name, until in self.waiting.items() if until > self.now_us}

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.held) <= LIMIT.most
        assert self.slots.in_flight(self.now_us) == len(self.held)
        called = self.slots.called(LIMIT, self.now_us)
        assert set(called) <= set(self.waiting)
        assert len(called) == min(len(self.waiting), LIMIT.most - len(self.held))


TestAgainstAList = AgainstAList.TestCase


@given(st.lists(st.sampled_from(CLIENTS), min_size=2, max_size=40))
def test_one_client_is_served_in_the_order_in_which_it_came(clients: list[str]) -> None:
    """First come first served holds for each client."""
    served = _served(clients)
    for client in CLIENTS:
        own = [number for who, number in served if who == client]
        assert own == sorted(own)


@given(st.integers(1, 10), st.integers(20, 60))
def test_quiet_clients_wait_for_one_turn_of_each(quiet: int, flood: int) -> None:
    """Whoever sends one request to a flooded limit is served after at most one of each other client."""
    clients = ["flood"] * flood + [f"quiet{number}" for number in range(quiet)]
    order = [who for who, _ in _served(clients)]
    assert set(order[: quiet + 1]) == {"flood", *clients[flood:]}


@given(st.integers(1, 3), st.integers(1, 8))
def test_whoever_comes_again_at_once_passes_nobody(most: int, quiet: int) -> None:
    """Who sends many requests at once and who sends one after the other take turns for ever."""
    slots, limit = Slots(), Concurrency(most=most, lease_us=10**9, queue=1_000, wait_us=10**9)
    held = [f"before/{number}" for number in range(most)]
    for name in held:
        slots.lease(name, limit, 0)
    turns = 20 * (quiet + 1)
    coming = [f"flood/{number}" for number in range(turns)] + [f"quiet{one}/0" for one in range(quiet)]
    came: dict[str, int] = {}
    served: list[str] = []
    for turn in range(turns):
        for name in coming:
            assert slots.wait(name, name.partition("/")[0], limit, 0).accepted
            came[name] = turn
        over = held.pop(0)
        slots.let_go(over)
        coming = [f"{over.partition('/')[0]}/{turn + 1}"] if over.startswith("quiet") else []
        (name,) = slots.called(limit, 0)
        slots.lease(name, limit, 0)
        held.append(name)
        served.append(name.partition("/")[0])
        if name.startswith("quiet"):
            assert turn - came[name] <= quiet
    assert served.count("flood") >= turns // (quiet + 1) - 1


def test_a_full_queue_makes_room_for_whoever_has_less_of_it() -> None:
    """A client that fills the queue can't keep others from waiting; among equals who came first stays."""
    slots, limit = Slots(), Concurrency(most=1, lease_us=1_000, queue=3, wait_us=500)
    slots.lease("before", limit, 0)
    for number in range(3):
        assert slots.wait(f"flood{number}", "flood", limit, 0).accepted
    assert not slots.wait("flood3", "flood", limit, 0).accepted
    assert slots.wait("quiet0", "quiet", limit, 0) == Waiting(accepted=True, ousted="flood2")
    assert not slots.wait("quiet1", "quiet", limit, 0).accepted


def _served(clients: list[str]) -> list[tuple[str, int]]:
    """Have all of them wait for one slot, and return who gets it, one after the other."""
    slots, limit = Slots(), Concurrency(most=1, lease_us=10**9, queue=len(clients), wait_us=10**9)
    slots.lease("before", limit, 0)
    for number, client in enumerate(clients):
        assert slots.wait(f"{client}/{number}", client, limit, 0).accepted
    slots.let_go("before")
    served = []
    while called := slots.called(limit, 0):
        slots.lease(called[0], limit, 0)
        who, _, place = called[0].partition("/")
        served.append((who, int(place)))
        slots.let_go(called[0])
    return served
