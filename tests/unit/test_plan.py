"""From a key and a route to the buckets that its requests take from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extauth.limits.plan import PLAIN_CHARGE, AnyLimit, Charge, Plan, Planner, Subjects, UnknownLimitsError
from extauth.limits.registry import ALGORITHMS
from extauth.model import ApiKey, Limit, Per
from extauth.settings.routing import parse_own_limits
from extauth.throttle.slots import Concurrency
from tests.keys import record
from tests.limits import window

SECOND = Limit("per-second", 10, 5, 1_000_000)
HOUR = Limit("per-hour", 1000, 1000, 3_600_000_000)
PLANNER = Planner({"pro": (SECOND, HOUR), "free": ()}, parse_own=parse_own_limits)
ALICE = Subjects(key_id="K1", user_id="alice", tier="pro", address="192.0.2.7")


def plan(
    *limits: AnyLimit, charge: Charge = PLAIN_CHARGE, who: Subjects = ALICE, common: tuple[Limit, ...] = ()
) -> Plan:
    """Return what requests under these limits take."""
    return Planner({}, parse_own=parse_own_limits, common=common).plan(limits, charge, who)


def buckets(made: Plan) -> list[str]:
    """Return the buckets that a plan takes from."""
    return [take.bucket for take in made.all_takes]


def per(party: Per, limit: Limit = SECOND) -> Limit:
    """Return a limit that counts for somebody else."""
    return limit._replace(per=party)


def test_a_key_has_the_limits_of_its_tier() -> None:
    """In the order of the configuration."""
    assert PLANNER.limits_of(record(tier="pro")) == (SECOND, HOUR)
    assert PLANNER.limits_of(record(tier="free")) == ()


def test_a_keys_own_limits_stand_in_place_of_its_tiers() -> None:
    """All of them."""
    assert PLANNER.limits_of(record(tier="pro", limits={"rates": ["5/10s"]})) == (
        Limit("per-10s", 5, 1, 2_000_000),
    )


@pytest.mark.parametrize("key", [record(tier="gold"), record(tier="pro", limits={"rates": ["gold"]})])
def test_limits_that_nobody_knows_are_told(key: ApiKey) -> None:
    """A key without known limits must not become one without limits."""
    with pytest.raises(UnknownLimitsError, match="gold"):
        PLANNER.limits_of(key)


def test_a_plan_takes_each_limit_from_the_keys_own_bucket() -> None:
    """With all that a store needs worked out."""
    made = plan(SECOND, HOUR)
    assert made.limit_set.limits == (SECOND, HOUR)
    first, second = made.takes
    assert (first.subject, first.field, first.bucket) == ("key:K1", "per-second", "key:K1:per-second")
    assert (second.limit, second.cost, second.bucket) == (HOUR, 1, "key:K1:per-hour")
    bucket = ALGORITHMS["token_bucket"]
    assert (first.step, first.tell, first.numbers) == (bucket.step, bucket.tell, bucket.prepare(SECOND, 1))


def test_no_limits_is_nothing_to_take() -> None:
    """Such a tier is unlimited."""
    assert plan().all_takes == ()


@pytest.mark.parametrize(
    ("party", "subject"),
    [
        (Per.KEY, "key:K1"),
        (Per.USER, "user:alice"),
        (Per.IP, "ip:192.0.2.7"),
        (Per.ROUTE, "route:orders"),
        (Per.ALL, "all"),
    ],
)
def test_whose_bucket_it_is(party: Per, subject: str) -> None:
    """As the limit says whose requests it counts together."""
    (take,) = plan(per(party), charge=Charge(route="orders")).takes
    assert take.subject == subject
    assert take.bucket == f"{subject}:{take.field}"


def test_a_request_without_a_key_has_neither_key_nor_user() -> None:
    """Limits of these don't apply to it, those of its address do."""
    anonymous = Subjects(address="192.0.2.7")
    made = plan(per(Per.KEY), per(Per.USER), per(Per.IP), who=anonymous)
    assert [take.subject for take in made.takes] == ["ip:192.0.2.7"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:DB8:0:1::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.8", "192.0.2.7", False),
        ("192.0.2.8", "192.0.2.7", False),
        ("unix:", "", True),
        ("unix:", "192.0.2.7", False),
    ],
)
def test_who_an_address_counts_as(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """An IPv6 customer has 64 bits to choose from, an IPv4 address is one however it is written."""
    found = [buckets(plan(per(Per.IP), who=ALICE._replace(address=address))) for address in (one, other)]
    assert (found[0] == found[1]) is same


@pytest.mark.parametrize("limit", [SECOND, window("per-second", 10, 1_000_000)])
def test_a_bucket_keeps_its_name_when_its_limit_changes(limit: Limit) -> None:
    """What was counted under the old numbers counts under the new ones."""
    changed = limit._replace(capacity=99, rate=99, period_us=5, shadow=True, is_quota=True)
    assert buckets(plan(changed)) == buckets(plan(limit))


def test_another_algorithm_has_another_bucket() -> None:
    """It can't read what the one before counted."""
    names = ("token_bucket", "sliding_window", "fixed_window")
    found = [buckets(plan(SECOND._replace(algorithm=name)))[0] for name in names]
    assert len(set(found)) == 3
    assert found[0] == "key:K1:per-second"


def test_a_key_that_changes_its_tier_takes_its_counts_along() -> None:
    """Changing back and forth makes no new bucket."""
    assert buckets(plan(SECOND, who=ALICE._replace(tier="free"))) == buckets(plan(SECOND))


@pytest.mark.parametrize("party", [Per.USER, Per.IP, Per.ALL])
def test_what_keys_of_several_tiers_share_is_counted_for_each_tier(party: Per) -> None:
    """Limits of the same name in two tiers are two limits."""
    limit = per(party)
    assert buckets(plan(limit, who=ALICE._replace(tier="free"))) != buckets(plan(limit))


def test_keys_of_one_user_share_the_users_bucket() -> None:
    """And not that of each key."""
    limits = (per(Per.USER), SECOND)
    (of_user, of_key), (user_again, other_key) = (
        buckets(plan(*limits, who=ALICE._replace(key_id=key_id))) for key_id in ("K1", "K2")
    )
    assert of_user == user_again
    assert of_key != other_key


@pytest.mark.parametrize("party", [Per.KEY, Per.USER, Per.IP, Per.ALL])
def test_limits_of_the_same_name_are_apart(party: Per) -> None:
    """That of the tier, those of two routes, and that of everybody: each has a bucket of its own."""
    limit = per(party)
    found = set()
    for route in ("orders", "/v1/**"):
        made = plan(limit, charge=Charge(route=route, limits=(limit,)), common=(limit,))
        assert len(made.takes) == 3
        found.update(buckets(made))
    # The tier's and everybody's are the same on both routes.
    assert len(found) == 4


def test_the_callers_limits_come_first_then_the_routes_then_everybodys() -> None:
    """In this order they are told."""
    route, common = Limit("route", 1, 1, 1), Limit("common", 1, 1, 1)
    made = plan(SECOND, HOUR, charge=Charge(route="r", limits=(route,)), common=(common,))
    assert made.limit_set.limits == (SECOND, HOUR, route, common)


def test_a_routes_cost_is_taken_of_each_limit() -> None:
    """Also of those of everybody."""
    made = plan(SECOND, charge=Charge(route="r", cost=4, limits=(HOUR,)), common=(HOUR,))
    assert [take.cost for take in made.takes] == [4, 4, 4]
    assert made.takes[0].numbers == ALGORITHMS["token_bucket"].prepare(SECOND, 4)


def test_a_limit_in_shadow_stands_apart() -> None:
    """Answers don't tell of it."""
    shadow = HOUR._replace(shadow=True)
    made = plan(shadow, SECOND)
    assert [take.limit for take in made.takes] == [SECOND]
    assert [take.limit for take in made.shadows] == [shadow]
    assert made.limit_set.limits == (SECOND,)
    assert [take.limit for take in made.all_takes] == [SECOND, shadow]


def test_on_a_route_in_shadow_no_limit_refuses() -> None:
    """They count in the same buckets as elsewhere."""
    made = plan(SECOND, charge=Charge(route="r", limits=(HOUR,), shadow=True), common=(HOUR,))
    assert made.takes == ()
    assert all(take.limit.shadow for take in made.shadows)
    assert buckets(made) == buckets(plan(SECOND, charge=Charge(route="r", limits=(HOUR,)), common=(HOUR,)))


@pytest.mark.parametrize("party", Per)
def test_the_address_is_needed_only_where_it_counts(party: Per) -> None:
    """Otherwise one plan serves a key wherever it is used from."""
    limit = per(party)
    needed = party is Per.IP
    assert PLANNER.needs_address((SECOND, limit), PLAIN_CHARGE) is needed
    assert PLANNER.needs_address((SECOND,), Charge(route="r", limits=(limit,))) is needed
    with_common = Planner({}, parse_own=parse_own_limits, common=(limit,))
    assert with_common.needs_address((SECOND,), PLAIN_CHARGE) is needed


def test_limits_of_one_name_are_told_apart_and_keep_their_buckets() -> None:
    """A key's own may be called like the route's or everybody's; clients must know which one they met."""
    made = plan(SECOND, charge=Charge(route="r", limits=(SECOND,)), common=(per(Per.ALL), HOUR))
    names = [limit.name for limit in made.limit_set.limits]
    assert names == ["per-second", "per-second-2", "per-second-3", "per-hour"]
    assert [take.look(None, 0).limit.name for take in made.takes] == names
    assert buckets(made) == [
        "key:K1:per-second",
        "key:K1:route:r/per-second",
        "all:*/per-second",
        "key:K1:*/per-hour",
    ]


FOUR = Concurrency(most=4, lease_us=60_000_000, queue=4, wait_us=25_000)
OF_ROUTE = FOUR._replace(name="route-concurrency")
EXPORTS = Charge(route="exports", limits=(OF_ROUTE,))


def places(made: Plan) -> list[str]:
    """Return the slots that a plan needs."""
    return [place.bucket for place in made.places]


def test_a_limit_on_requests_in_flight_is_a_place_and_no_take() -> None:
    """It is told in no header, and the tier's comes before the route's: by this order requests wait."""
    made = plan(SECOND, FOUR, charge=EXPORTS)
    assert buckets(made) == ["key:K1:per-second"]
    assert made.limit_set.limits == (SECOND,)
    assert places(made) == ["key:K1:concurrency", "key:K1:route:exports/route-concurrency"]
    assert [place.limit for place in made.places] == [FOUR, OF_ROUTE]
    assert all(place.bucket == f"{place.subject}:{place.field}" for place in made.places)


@pytest.mark.parametrize(
    ("party", "bucket"),
    [
        (Per.KEY, "key:K1:concurrency"),
        (Per.USER, "user:alice:tier:pro/concurrency"),
        (Per.IP, "ip:192.0.2.7:tier:pro/concurrency"),
        (Per.ROUTE, "route:orders:tier:pro/concurrency"),
    ],
)
def test_whose_slots_of_a_tier_they_are(party: Per, bucket: str) -> None:
    """What keys share is counted for each tier, a key takes its slots along to another one."""
    assert places(plan(FOUR._replace(per=party), charge=Charge(route="orders"))) == [bucket]


@pytest.mark.parametrize("party", [Per.KEY, Per.USER, Per.IP, Per.ROUTE])
def test_places_keep_their_names_when_the_configuration_changes(party: Per) -> None:
    """Requests that are in flight stay counted, whatever the numbers are."""

    def made(of_tier: Concurrency, of_route: Concurrency, cost: int = 1, lease_us: int = 0) -> Plan:
        charge = Charge(route="exports", cost=cost, limits=(of_route,), lease_us=lease_us)
        return plan(of_tier, charge=charge)

    before = made(FOUR._replace(per=party), OF_ROUTE._replace(per=party))
    numbers = Concurrency(most=99, lease_us=5, queue=7, wait_us=3, per=party)
    after = made(numbers, numbers._replace(name="route-concurrency"), cost=5, lease_us=9)
    assert places(after) == places(before)
    assert len(set(places(before))) == 2


def test_the_timeout_of_a_route_goes_before_the_ttl_of_each_limit() -> None:
    """It knows how long its requests take; without one each limit says it itself."""
    made = plan(FOUR, charge=EXPORTS)
    assert [place.limit.lease_us for place in made.places] == [60_000_000, 60_000_000]
    charge = Charge(route="exports", limits=(OF_ROUTE,), lease_us=600_000_000)
    assert [place.limit.lease_us for place in plan(FOUR, charge=charge).places] == [600_000_000] * 2


def test_on_a_route_in_shadow_nobody_needs_a_slot() -> None:
    """Nothing may refuse there."""
    assert plan(FOUR, charge=Charge(route="r", limits=(OF_ROUTE,), shadow=True)).places == ()


def test_without_a_key_only_address_and_route_are_counted() -> None:
    """There is nobody else."""
    limits = tuple(OF_ROUTE._replace(per=party) for party in (Per.KEY, Per.USER, Per.IP, Per.ROUTE))
    made = plan(charge=Charge(route="r", limits=limits), who=Subjects(address="192.0.2.7"))
    assert [place.subject for place in made.places] == ["ip:192.0.2.7", "route:r"]


@pytest.mark.parametrize(
    ("who", "client"),
    [
        (ALICE, "key:K1"),
        (Subjects(address="192.0.2.7"), "ip:192.0.2.7"),
        (Subjects(address="2001:db8:0:1:2::3"), "ip:2001:db8:0:1::"),
    ],
)
def test_who_takes_turns_where_a_limit_is_shared(who: Subjects, client: str) -> None:
    """Keys, and addresses where there is none."""
    shared = replace(EXPORTS, limits=(FOUR._replace(per=Per.ROUTE),))
    assert plan(charge=shared, who=who).client == client


def test_requests_in_flight_from_an_address_need_it() -> None:
    """Of the tier and of the route."""
    by_address = FOUR._replace(per=Per.IP)
    assert PLANNER.needs_address((SECOND, by_address), PLAIN_CHARGE)
    assert PLANNER.needs_address((SECOND,), Charge(route="r", limits=(by_address,)))
    assert not PLANNER.needs_address((SECOND, FOUR), EXPORTS)
