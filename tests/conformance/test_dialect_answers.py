"""What every dialect tells the client and the upstream, for every decision there is."""

from __future__ import annotations

from typing import Any

import pytest

from extauth.dialects.base import Answer
from extauth.dialects.problems import PROBLEMS
from extauth.model import OUTCOMES, Code, Decision, Identified, Limit, LimitSet, Outcome, Usage
from extauth.stores.redis.limits import tokens
from extauth.usage import word
from tests.answers import Reply, parse_list, reply_of
from tests.dialects import PROXIES, Spoken, members_in_order
from tests.fakes import FakeClock
from tests.keys import identified

IDENTITY = ("x-auth-key-id", "x-auth-user-id", "x-auth-scopes", "x-auth-tier")
LIMIT_HEADERS = (
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit-policy",
    "ratelimit",
)
STATUSES = {
    Code.ALLOWED: 200,
    Code.AMBIGUOUS_CREDENTIALS: 400,
    Code.AMBIGUOUS_PATH: 400,
    Code.MISSING_KEY: 401,
    Code.INVALID_KEY: 401,
    Code.INSUFFICIENT_SCOPE: 403,
    Code.ROUTE_DENIED: 403,
    Code.RATE_LIMITED: 429,
    Code.QUOTA_EXCEEDED: 429,
    Code.COOLING_DOWN: 429,
    Code.TOO_MANY_CONCURRENT: 429,
    Code.STORE_UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
    Code.INTERNAL_ERROR: 503,
}
KEY = identified(user_id="user-1", scopes=("orders:read", "a:*"), tier="pro")
SECOND = Limit("per-second", 10, 5, 1_000_000)
HOUR = Limit("per-hour", 1000, 1000, 3_600_000_000)
LIMITS = LimitSet((SECOND, HOUR))
ROOM = (Usage(SECOND, True, 9, 200_000, 0), Usage(HOUR, True, 8, 3_571_200_000, 0))
SPENT = (Usage(SECOND, False, 0, 2_000_000, 200_000), Usage(HOUR, True, 500, 1_800_000_000, 0))


def decision_for(code: Code, **changes: Any) -> Decision:
    """Return a decision as the check makes it, with all that it knows."""
    known: dict[str, Any] = {"presented_id": KEY.key_id, "route": "r", "reason": "for operators only"}
    if OUTCOMES[code] in {Outcome.ALLOWED, Outcome.LIMITED}:
        known |= {"whose": KEY, "limit_set": LIMITS, "usages": ROOM}
    if OUTCOMES[code] is Outcome.LIMITED:
        known |= {"usages": SPENT, "violated": ("per-second",), "retry_after": 1}
    if code is Code.INSUFFICIENT_SCOPE:
        known |= {"whose": KEY, "needed_scopes": ("orders:write", "b:*")}
    if OUTCOMES[code] is Outcome.UNAVAILABLE:
        known |= {"retry_after": 2}
    return Decision(code, **{**known, **changes})


@pytest.fixture(params=list(PROXIES))
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Give one dialect after the other."""
    return Spoken(request.param)


def answer(spoken: Spoken, decision: Decision, **headers: str) -> Answer:
    """Render a decision about a plain request."""
    return spoken.dialect.render(spoken.read("/", **{"x_request_id": "r-1", **headers}), decision)


def told(spoken: Spoken, decision: Decision, **headers: str) -> Reply:
    """Return what the client is told in the end."""
    return spoken.proxy.told(answer(spoken, decision, **headers))


@pytest.mark.parametrize("code", Code)
def test_every_code_has_its_status_and_problem(spoken: Spoken, code: Code) -> None:
    """None is forgotten: each denial has its true status, a title, a sentence that helps, and an id."""
    reply = told(spoken, decision_for(code))
    assert reply.status == STATUSES[code]
    if code is Code.ALLOWED:
        assert reply.body == b""
        assert "content-type" not in reply.headers
        return
    problem = reply.problem
    assert members_in_order(reply.body)[:6] == ["type", "title", "status", "detail", "code", "request_id"]
    assert (problem["status"], problem["code"], problem["request_id"]) == (STATUSES[code], code.value, "r-1")
    assert problem["detail"].endswith(".")
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("code", Code)
def test_security_headers_stand_on_refusals_alone(name: str, code: Code) -> None:
    """Those that are set, and no others; what allows a request says them through the proxy."""
    names = {"x-own", "x-content-type-options"}
    custom = Spoken(name, headers={"security": {"X-Own": "always"}})
    found = [names & told(spoken, decision_for(code)).headers.keys() for spoken in (Spoken(name), custom)]
    refused = code is not Code.ALLOWED
    assert found == ([{"x-content-type-options"}, {"x-own"}] if refused else [set(), set()])


def test_the_status_table_is_complete() -> None:
    """A new code needs its row here and in the dialects' table."""
    assert set(STATUSES) == set(Code) == set(PROBLEMS) | {Code.ALLOWED}


@pytest.mark.parametrize("code", Code)
def test_identity_goes_upstream_with_allowed_answers_only(spoken: Spoken, code: Code) -> None:
    """All four headers on an allowed answer, so that none can be forged; none on a refusal."""
    headers = told(spoken, decision_for(code)).headers
    if code is Code.ALLOWED:
        assert [headers[name] for name in IDENTITY] == [KEY.key_id, "user-1", "orders:read a:*", "pro"]
    else:
        assert not set(IDENTITY) & headers.keys()


def test_nobodys_identity_is_empty_not_absent(spoken: Spoken) -> None:
    """A proxy that only replaces what it gets would leave the client's own header in place."""
    headers = told(spoken, Decision(Code.ALLOWED)).headers
    assert [headers[name] for name in IDENTITY] == ["", "", "", ""]
    assert not set(LIMIT_HEADERS) & headers.keys()


@pytest.mark.parametrize("code", Code)
def test_the_lease_is_told_where_one_was_taken(spoken: Spoken, code: Code) -> None:
    """The proxy reports its end; without one, and on a refusal, there is nothing to report."""
    assert "x-extauth-lease" not in told(spoken, decision_for(code)).headers
    headers = told(spoken, decision_for(code, lease="1f-0.17.60.eA")).headers
    lease, _, whose = headers.get("x-extauth-lease", "").partition("~")
    assert lease == ("1f-0.17.60.eA" if code is Code.ALLOWED else "")
    # Behind it stands whose request it was, for whoever counts how it ends.
    decision = decision_for(code)
    key = decision.key
    if code is Code.ALLOWED and key is not None:
        assert word.decode(whose) == (key.key_id, key.user_id, key.tier, decision.route)


def test_a_lease_is_as_long_as_one_that_is_read(spoken: Spoken) -> None:
    """Where it leaves no room it is told alone: its end matters more than what is counted then."""
    for size in (1_024 - 60, 1_024):
        lease = "1" * size
        headers = told(spoken, decision_for(Code.ALLOWED, lease=lease)).headers
        assert headers["x-extauth-lease"].startswith(lease)
        assert len(headers["x-extauth-lease"]) <= 1_024


@pytest.mark.parametrize("code", Code)
def test_limits_are_told_to_those_they_belong_to(spoken: Spoken, code: Code) -> None:
    """On allowed answers and on 429; never on a failed authentication, even if the decision knew them."""
    headers = told(spoken, decision_for(code)).headers
    assert set(LIMIT_HEADERS) <= headers.keys() or not set(LIMIT_HEADERS) & headers.keys()
    assert ("ratelimit" in headers) == (STATUSES[code] in {200, 429})


def test_a_key_without_limits_has_no_limit_headers(spoken: Spoken) -> None:
    """An unlimited tier is told by silence."""
    headers = told(spoken, Decision(Code.ALLOWED, whose=KEY, limit_set=LimitSet(()))).headers
    assert not set(LIMIT_HEADERS) & headers.keys()


def test_limit_headers_are_structured_lists(spoken: Spoken) -> None:
    """RFC 9651 lists of the draft's members, in the order of the configuration."""
    headers = told(spoken, decision_for(Code.ALLOWED)).headers
    assert [tuple(item) for item in parse_list(headers["ratelimit-policy"])] == [
        ("per-second", {"q": 10, "w": 2}),
        ("per-hour", {"q": 1000, "w": 3600}),
    ]
    assert [tuple(item) for item in parse_list(headers["ratelimit"])] == [
        ("per-second", {"r": 9, "t": 1}),
        ("per-hour", {"r": 8, "t": 3572}),
    ]


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        (ROOM, ["1000", "8", "3572"]),
        (ROOM[::-1], ["1000", "8", "3572"]),
        (SPENT, ["10", "0", "1"]),
        (SPENT[::-1], ["10", "0", "1"]),
        ((SPENT[0], SPENT[1]._replace(allowed=False, remaining=0, retry_us=3_600_000)), ["1000", "0", "4"]),
        ((SPENT[1]._replace(allowed=False, remaining=0, retry_us=3_600_000), SPENT[0]), ["1000", "0", "4"]),
    ],
)
def test_x_ratelimit_is_of_the_limit_nearest_to_refusing(
    spoken: Spoken, usages: tuple[Usage, ...], expected: list[str]
) -> None:
    """The least that is left; of those that refuse, the one that takes longest. Seconds are rounded up."""
    limit_set = LimitSet(tuple(usage.limit for usage in usages))
    headers = told(spoken, decision_for(Code.ALLOWED, usages=usages, limit_set=limit_set)).headers
    assert [headers[name] for name in LIMIT_HEADERS[:3]] == expected


@pytest.mark.parametrize("name", list(PROXIES))
def test_reset_can_be_a_moment(name: str) -> None:
    """Seconds since 1970, rounded up, where the settings say so; the draft's header stays a duration."""
    clock = FakeClock()
    now = clock.now_us() // 1_000_000
    spoken = Spoken(name, clock=clock, headers={"reset": "epoch"})
    assert told(spoken, decision_for(Code.RATE_LIMITED)).headers["x-ratelimit-reset"] == str(now + 1)
    clock.advance(microseconds=1)
    headers = told(spoken, decision_for(Code.RATE_LIMITED)).headers
    assert headers["x-ratelimit-reset"] == str(now + 2)
    assert parse_list(headers["ratelimit"])[0].parameters["t"] == 1


CHALLENGES = {
    Code.MISSING_KEY: 'Bearer realm="extauth"',
    Code.INVALID_KEY: 'Bearer realm="extauth", error="invalid_token"',
    Code.INSUFFICIENT_SCOPE: 'Bearer realm="extauth", error="insufficient_scope", scope="orders:write b:*"',
}


@pytest.mark.parametrize("code", Code)
def test_challenges(spoken: Spoken, code: Code) -> None:
    """RFC 6750: bare where nothing was sent, with the error where something was, with scopes that lack."""
    assert told(spoken, decision_for(code)).headers.get("www-authenticate") == CHALLENGES.get(code)


@pytest.mark.parametrize("name", list(PROXIES))
def test_the_realm_is_a_setting(name: str) -> None:
    """Clients show it to people."""
    spoken = Spoken(name, credentials={"realm": "Acme API, v2"})
    assert (
        told(spoken, decision_for(Code.MISSING_KEY)).headers["www-authenticate"]
        == 'Bearer realm="Acme API, v2"'
    )


@pytest.mark.parametrize("code", Code)
def test_retry_after_is_on_429_and_503(spoken: Spoken, code: Code) -> None:
    """Whoever is told to come again is told when."""
    headers = told(spoken, decision_for(code)).headers
    expected = {429: "1", 503: "2"}.get(STATUSES[code])
    assert headers.get("retry-after") == expected


def test_a_429_names_what_was_violated(spoken: Spoken) -> None:
    """By the names in RateLimit-Policy, under the registered problem type of the draft."""
    problem = told(spoken, decision_for(Code.RATE_LIMITED)).problem
    assert problem["violated-policies"] == ["per-second"]
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert "violated-policies" not in told(spoken, decision_for(Code.OVERLOADED)).problem


@pytest.mark.parametrize("name", list(PROXIES))
def test_problem_types_lead_to_the_operators_documentation(name: str) -> None:
    """A URN of our own without it; a registered type stays what it is."""
    for docs_url, missing in (
        (None, "urn:extauth:problem:missing_key"),
        ("https://docs.example.com/api/", "https://docs.example.com/api/problems/missing_key"),
    ):
        spoken = Spoken(name, docs_url=docs_url)
        assert told(spoken, decision_for(Code.MISSING_KEY)).problem["type"] == missing
        assert "iana.org" in told(spoken, decision_for(Code.RATE_LIMITED)).problem["type"]


@pytest.mark.parametrize("code", [Code.INVALID_KEY, Code.STORE_UNAVAILABLE, Code.INTERNAL_ERROR])
def test_callers_are_not_told_why(spoken: Spoken, code: Code) -> None:
    """Unknown, revoked and expired look alike, and what failed inside is nobody's business."""
    whys = [{"reason": reason, "presented_id": reason} for reason in ("planted", "")]
    answers = [answer(spoken, decision_for(code, **why)) for why in whys]
    assert answers[0] == answers[1]
    assert b"planted" not in answers[0].head + answers[0].body


def test_head_is_answered_like_get(spoken: Spoken) -> None:
    """The dialect doesn't care: leaving out the body is HTTP's affair."""
    decision = decision_for(Code.RATE_LIMITED)
    get, head = (spoken.read("/", method=method, x_request_id="r") for method in ("GET", "HEAD"))
    assert spoken.dialect.render(get, decision) == spoken.dialect.render(head, decision)


WORST_KEY = identified(
    "Z" * 12,
    user_id="u" * 128,
    scopes=(*tuple(f"{number:02}:{'s' * 28}" for number in range(31)), "x" * 32),
    tier="t" * 32,
)
# The longest refill that the settings allow.
_LONGEST_US = 3_650 * 86_400_000_000


def worst_decision(code: Code, whose: Identified = WORST_KEY) -> Decision:
    """Return the largest answer that the settings and the key service allow."""
    limits = tuple(Limit(f"{'n' * 31}{number}", 10**9, 10**9, _LONGEST_US) for number in range(8))
    usages = tuple(Usage(limit, False, 999_999_999, _LONGEST_US, _LONGEST_US) for limit in limits)
    names = tuple(limit.name for limit in limits)
    needed = tuple(f"{number:02}:{'n' * 61}" for number in range(16))
    told = (usages, names, _LONGEST_US // 10**6, needed)
    return Decision(code, whose, "", "r", LimitSet(limits), *told, lease="x" * tokens.LONGEST)


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("name", list(PROXIES))
def test_answer_headers_stay_below_4_kb(name: str, code: Code) -> None:
    """With the most scopes, the longest user id and the most rates: proxies keep little more for a head."""
    assert len(" ".join(WORST_KEY.key.scopes)) == 1024
    spoken = Spoken(name, credentials={"realm": "r" * 64}, docs_url="https://docs.example.com/" + "d" * 64)
    request = spoken.read("/", x_request_id="i" * 64, authorization="Bearer x", x_api_key="x")
    rendered = spoken.dialect.render(request, worst_decision(code))
    status_line_and_length = 64
    assert len(rendered.head) + status_line_and_length < 4096


@pytest.mark.parametrize("code", Code)
def test_a_request_id_of_any_length_fits(spoken: Spoken, code: Code) -> None:
    """An id that a careless proxy takes over from the client can't blow up an answer's head."""
    rendered = answer(spoken, decision_for(code), x_request_id="i" * 16_000)
    assert len(rendered.head) < 4096


def test_integers_stay_within_what_structured_fields_hold(spoken: Spoken) -> None:
    """RFC 9651 section 3.3.1: fifteen digits, also for the slowest limit that the settings allow."""
    headers = told(spoken, worst_decision(Code.RATE_LIMITED)).headers
    for name in ("ratelimit", "ratelimit-policy"):
        assert len(parse_list(headers[name])) == 8


# An empty one is none: the reader makes another, which its own tests hold.
HOSTILE_IDS = [
    "a\r\nx-evil: 1",
    'x", "code": "allowed',
    "\x00\x7f\x1b[31m",
    "caf\xe9\xff",
    "\\",
    "{}",
    " ",
    "\t",
    "%0d%0a",
]


@pytest.mark.parametrize("request_id", HOSTILE_IDS)
def test_a_hostile_request_id_breaks_out_of_nothing(spoken: Spoken, request_id: str) -> None:
    """It stays one member of the body, in printable ASCII on one line, and adds no header."""
    reply = told(spoken, decision_for(Code.RATE_LIMITED), x_request_id=request_id)
    expected = "".join(character if " " <= character <= "~" else "?" for character in request_id)
    assert reply.problem["request_id"] == expected
    assert reply.body.isascii()
    assert reply.body.decode().isprintable()
    assert reply.headers.keys() == told(spoken, decision_for(Code.RATE_LIMITED)).headers.keys()


def test_nginx_gets_the_true_status_in_a_header() -> None:
    """auth_request itself sees 200, 401 or 403 and nothing else."""
    spoken = Spoken("nginx")
    for code, status in STATUSES.items():
        rendered = answer(spoken, decision_for(code))
        assert rendered.status == (status if status in {200, 401, 403} else 403)
        assert reply_of(rendered).headers["x-extauth-status"] == str(status)


REMOVALS = [
    ({"x_api_key": "k"}, "x-api-key"),
    ({"authorization": "Bearer k"}, "authorization"),
    ({"authorization": "Bearer k", "x_api_key": "k"}, "authorization,x-api-key"),
    ({"authorization": "Basic k"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "removed"), REMOVALS)
def test_envoy_takes_the_key_out(headers: dict[str, str], removed: str | None) -> None:
    """The header in which the key stood is named for removal, and no other."""
    allowed = told(Spoken("envoy"), decision_for(Code.ALLOWED), **headers).headers
    assert allowed.get("x-envoy-auth-headers-to-remove") == removed
    denied = told(Spoken("envoy"), decision_for(Code.RATE_LIMITED), **headers).headers
    assert "x-envoy-auth-headers-to-remove" not in denied


@pytest.mark.parametrize(
    ("credential", "removed"),
    [("eyJhbGciOiJIUzI1NiJ9.e30.x", None), (f"xa_live_{KEY.key_id}_{'s' * 51}", "authorization"), ("", None)],
)
def test_on_an_open_route_only_what_is_a_key_is_taken_out(credential: str, removed: str | None) -> None:
    """A token that is meant for the upstream arrives, a key that was sent by mistake does not."""
    headers = told(Spoken("envoy"), Decision(Code.ALLOWED), authorization=f"Bearer {credential}").headers
    assert headers.get("x-envoy-auth-headers-to-remove") == removed
