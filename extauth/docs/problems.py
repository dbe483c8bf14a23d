"""Why each problem occurs and what to do about it, for the consumers' pages and for docs/problems.md alike.

Backticks mark what is code. What only operators need stands apart: consumers aren't shown it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from extauth.admin.problems import AdminCode
from extauth.model import Code


class Explanation(NamedTuple):
    """One problem explained; `for_operators` is Markdown, with links to other pages of docs/."""

    cause: str
    advice: str
    for_operators: str = ""

    @property
    def for_all(self) -> str:
        """All that there is to do, for a page that both read."""
        return f"{self.advice} {self.for_operators}".strip()


_RETRY = "Try again after `Retry-After`."

EXPLANATIONS: Mapping[Code, Explanation] = {
    Code.AMBIGUOUS_CREDENTIALS: Explanation(
        "The request holds two different keys: in `Authorization` and in `X-API-Key`, or twice in one of "
        "them.",
        "Send the key once.",
    ),
    Code.AMBIGUOUS_PATH: Explanation(
        "Two programs on the way could read the method, the host or the path differently: `..`, `//`, `;`,"
        " `%2f`, `%61`, broken UTF-8, a method that is unknown or not in upper case. Which one is meant "
        "must not be guessed.",
        "Send the path in its plain form.",
        "Operators list further methods in `proxy.methods`.",
    ),
    Code.MISSING_KEY: Explanation(
        "No key was found.",
        "Send `Authorization: Bearer <key>` or `X-API-Key: <key>`. The query parameter `api_key` is only "
        "looked at where the operator has switched it on.",
    ),
    Code.INVALID_KEY: Explanation(
        "The key is mistyped, was never issued here, or was disabled, revoked or has expired. The answer "
        "is the same for all of these, so that nobody can probe for keys; the operator's log has the "
        "reason.",
        "Check that the whole key was copied. Else ask for a new one.",
    ),
    Code.INSUFFICIENT_SCOPE: Explanation(
        "The key is good, but lacks a scope; `WWW-Authenticate` names all that the request needs.",
        "Use a key that holds them, or ask for one.",
    ),
    Code.ROUTE_DENIED: Explanation(
        "No route of the configuration allows this method and path, whoever asks.",
        "Check the URL.",
        "Operators: see `routes` and `default_route`.",
    ),
    Code.RATE_LIMITED: Explanation(
        "One or more rates are spent, of the key, its user, the client's address, the route, or of "
        "everybody; `violated-policies` names them. A refused request costs nothing.",
        "Wait as many seconds as `Retry-After` says, plus a little at random if there are several of you. "
        "Read `RateLimit` to slow down before it comes to this.",
    ),
    Code.QUOTA_EXCEEDED: Explanation(
        "The quota of the key's tier is used up for this second, minute, hour, day, week or month of the "
        "calendar (UTC); `violated-policies` names it. A refused request costs nothing.",
        "`Retry-After` says in how many seconds the quota begins anew. If that is too long, ask for a "
        "larger quota.",
    ),
    Code.COOLING_DOWN: Explanation(
        "The client went on past its refusals: too many requests came although limits were spent. Each "
        "further time it is refused for twice as long. Or too many keys were sent that are no good, from "
        "its address or for the key's id, or an operator has banned the address, the key or its user: then"
        " there are no `violated-policies`.",
        "Send nothing for as many seconds as `Retry-After` says, and have the client wait whenever it is "
        "told to. Where it sends a wrong key, mend that first.",
        "Operators: see [bans](abuse.md).",
    ),
    Code.TOO_MANY_CONCURRENT: Explanation(
        "As many requests as may be in flight at once are, of the key, its user, the client's address or "
        "the route, and none ended while this one waited; `violated-policies` names the limit: "
        "`concurrency` is the tier's or the key's, `route-concurrency` the route's. A refused request "
        "costs nothing of rates and quotas.",
        "Send the next requests when earlier ones have been answered, so many at a time as are allowed. "
        "When one ends nobody can know, so `Retry-After` is always 1.",
        "Operators: [throttling](throttling.md).",
    ),
    Code.STORE_UNAVAILABLE: Explanation(
        "The keys could not be read, so nobody could be let in.",
        _RETRY,
        "Operators: `/readyz` says which part fails.",
    ),
    Code.OVERLOADED: Explanation(
        "Too many keys that were not used lately came at once, and their secrets wait to be verified. Or "
        "too many checks wait already; then one that would have to wait too is refused at once, and those "
        "that need not wait are answered as ever.",
        "Try again after `Retry-After`: by then yours is likely to be verified.",
        "Operators: `keys.hashing.workers` and `.queue`, and `throttle.max_checks` for checks that wait in"
        " one process; the log's `reason` says which it was, and `extauth_throttle_refusals_total` counts "
        "those refused for `throttle.max_checks`.",
    ),
    Code.INTERNAL_ERROR: Explanation(
        "A fault in the authorization service that nobody foresaw, or a key whose tier the configuration "
        "no longer has. The request was refused, never let in.",
        "Report the `request_id`: the log has the fault under it.",
    ),
}

# What the proxies themselves answer: envoy.yaml and nginx/extauth.conf have it word for word.
PROXY_CODE = "authorization_unavailable"
PROXY_PROBLEM: Mapping[str, Any] = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The authorization service gave no usable answer. Try again shortly.",
    "code": PROXY_CODE,
}
PROXY_EXPLANATION = Explanation(
    "The proxy in front of the API could not have the request checked: the authorization service was not "
    "there, answered too late, or failed. The request was refused, never let in.",
    "Try again after `Retry-After`, which is 1; wait longer each further time.",
)

ADMIN_EXPLANATIONS: Mapping[AdminCode, Explanation] = {
    AdminCode.MALFORMED_BODY: Explanation(
        "The body is no well-formed JSON, is needed and empty, or is nested deeper than 32 levels.",
        "Send one JSON object.",
    ),
    AdminCode.INVALID_QUERY: Explanation(
        "A query parameter is not known, is given twice, or can't be read.",
        "`errors` says which.",
    ),
    AdminCode.MISSING_KEY: Explanation("No key was sent.", "Send `Authorization: Bearer <key>`."),
    AdminCode.INVALID_KEY: Explanation(
        "The key is mistyped, unknown, disabled, revoked or expired, or two were sent.",
        "Check that the whole key was copied.",
        "The log line `admin_login_failed` says which it was.",
    ),
    AdminCode.INSUFFICIENT_SCOPE: Explanation(
        "The key is good, but lacks the scope that `WWW-Authenticate` names.",
        "Use one that holds it.",
    ),
    AdminCode.NOT_FOUND: Explanation(
        "Nothing is served at this path.",
        "Check the URL. Checks are answered on the check listener only.",
        "[Metrics](metrics.md#health) and the [admin API](admin-api.md#endpoints) list what is there.",
    ),
    AdminCode.KEY_NOT_FOUND: Explanation(
        "There is no key with this id; it may have been purged.",
        "Check the id.",
    ),
    AdminCode.BAN_NOT_FOUND: Explanation("There is no such ban; it may be over.", "List those that hold."),
    AdminCode.METHOD_NOT_ALLOWED: Explanation(
        "The method is not answered at this path.",
        "`Allow` names those that are.",
    ),
    AdminCode.CONFLICT: Explanation(
        "Somebody else was faster, or the first request under this `Idempotency-Key` is still under way.",
        "Try again.",
    ),
    AdminCode.NOT_ROTATED: Explanation("The key was not rotated, so it has no grace.", "Rotate it first."),
    AdminCode.TOO_MANY_KEYS: Explanation(
        "The user has as many keys as `keys.per_user` allows.",
        "Revoke one.",
    ),
    AdminCode.PRECONDITION_FAILED: Explanation(
        "The key has another version than `If-Match` names.",
        "Fetch it and look again; `ETag` has the current version.",
    ),
    AdminCode.BODY_TOO_LARGE: Explanation("A body may hold 65536 bytes.", "Send a smaller one."),
    AdminCode.UNSUPPORTED_MEDIA_TYPE: Explanation(
        "The body has another type, or a content encoding.",
        "Send `application/json`, not encoded.",
    ),
    AdminCode.INVALID_INPUT: Explanation(
        "What was asked for can't be.",
        "`errors` says why, field by field.",
    ),
    AdminCode.COOLING_DOWN: Explanation(
        "Too many keys from this address were no good, or an operator has banned the address, the key or "
        "its user.",
        "Wait as many seconds as `Retry-After` says.",
        "See [bans](abuse.md).",
    ),
    AdminCode.NO_SESSION: Explanation(
        "Of the dashboard: nobody is signed in, or the session has ended.", "Sign in with a key."
    ),
    AdminCode.CROSS_SITE: Explanation(
        "Of the dashboard: the request lacks the session's `X-CSRF-Token`, or comes from another site.",
        "Reload the page.",
    ),
    AdminCode.SELF_SERVICE_OFF: Explanation(
        "Of the dashboard: consumers may not do this themselves, or the key that they are signed in with was "
        "replaced.",
        "Ask whoever runs the API.",
        "The setting is `dashboard.self_service`.",
    ),
    AdminCode.TOO_MANY_STREAMS: Explanation(
        "Of the dashboard: too many pages are being kept up to date, of this session or of all.",
        "Close some.",
    ),
    AdminCode.INTERNAL_ERROR: Explanation(
        "A fault in extauth that nobody foresaw.",
        "Report it with the time and the path.",
        'The log has it, with the path; `extauth_faults_total{listener="admin"}` counts it.',
    ),
    AdminCode.STORE_UNAVAILABLE: Explanation(
        "The keys can't be reached.",
        _RETRY,
        "`/readyz` says which part fails.",
    ),
    AdminCode.OVERLOADED: Explanation("Too many secrets wait to be hashed.", _RETRY),
}
