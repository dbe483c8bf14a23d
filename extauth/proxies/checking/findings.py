"""What can be found in a proxy's configuration: each kind with a code word that stays, and how bad it is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

from extauth.errors import ExtauthError


class UnreadableError(ExtauthError):
    """A configuration can't be looked through: no such file, another language, or nothing to look at."""


class Severity(enum.StrEnum):
    """How bad it is."""

    UNSAFE = "unsafe"
    """Somebody gets past extauth, is taken for somebody else, or learns what they mustn't."""
    MISSING = "missing"
    """Something that extauth promises doesn't happen."""
    ADVICE = "advice"
    """It works, but could do so better. Or it was not looked at."""


class Kind(NamedTuple):
    """One kind of finding; `meaning` is what comes of it."""

    severity: Severity
    proxies: tuple[str, ...]
    meaning: str


class Finding(NamedTuple):
    """Something found: `where` is file and line, or a path in the file; `instead` says what to write."""

    code: str
    where: str
    wrong: str
    instead: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.code].severity

    def plain(self) -> dict[str, str]:
        """Return it for programs."""
        return {"code": self.code, "severity": self.severity.value, **self._asdict()}


_UNSAFE, _MISSING, _ADVICE = Severity
_ENVOY, _NGINX = ("envoy",), ("nginx",)
_BOTH = ("envoy", "nginx")

KINDS: Mapping[str, Kind] = {
    "unchecked": Kind(_UNSAFE, _BOTH, "Requests reach the upstream without any check."),
    "check-disabled": Kind(_UNSAFE, _BOTH, "The check is switched off for a route or a location."),
    "check-partial": Kind(_UNSAFE, _BOTH, "Some requests are not checked."),
    "check-left": Kind(
        _UNSAFE, _NGINX, "Requests leave for a location without a check before they were checked."
    ),
    "check-too-late": Kind(_UNSAFE, _ENVOY, "A filter acts on requests before they are checked."),
    "fails-open": Kind(_UNSAFE, _BOTH, "Requests pass while extauth is gone, or although it refused."),
    "check-public": Kind(_UNSAFE, _NGINX, "Clients can call the check itself, and try keys with it unseen."),
    "check-not-clean": Kind(
        _UNSAFE, _NGINX, "Whatever a client sends goes to extauth as if the proxy said it."
    ),
    "target-not-sent": Kind(
        _UNSAFE, _NGINX, "extauth isn't told method and raw target, and decides about something else."
    ),
    "host-differs": Kind(_UNSAFE, _NGINX, "extauth and the upstream can be told different hosts."),
    "client-address-believed": Kind(
        _UNSAFE, _BOTH, "The client's address is what the client says: limits by address can be cheated."
    ),
    "address-claims": Kind(_UNSAFE, _BOTH, "The upstream gets a client's own claims about its address."),
    "request-id-chosen": Kind(
        _UNSAFE, _BOTH, "A client can choose the id of its request, and so have others refused."
    ),
    "identity-forged": Kind(
        _UNSAFE, _BOTH, "A client can tell the upstream who it is, by `X-Auth-…` of its own."
    ),
    "identity-appended": Kind(_UNSAFE, _ENVOY, "Identity is added beside a client's own line of that name."),
    "identity-replaced": Kind(
        _UNSAFE, _ENVOY, "The proxy tells the upstream an identity of its own, whoever calls."
    ),
    "internal-forged": Kind(
        _UNSAFE, _BOTH, "A client can speak in extauth's or the proxy's name to the upstream."
    ),
    "aliases-kept": Kind(
        _UNSAFE, _BOTH, "Names such as `X_Auth_User_Id` pass, which frameworks read as `X-Auth-User-Id`."
    ),
    "target-forged": Kind(
        _UNSAFE,
        _BOTH,
        "Frameworks take another method, path or host from a client's headers than was decided on.",
    ),
    "key-forwarded": Kind(_UNSAFE, _NGINX, "The upstream gets the API key, and can log and use it."),
    "path-not-normalised": Kind(
        _UNSAFE, _ENVOY, "`/public/../admin` goes on as it is; the upstream may resolve it."
    ),
    "slashes-not-merged": Kind(_ADVICE, _ENVOY, "Clients with `//` in their paths are refused."),
    "escaped-slashes": Kind(
        _UNSAFE, _ENVOY, "`%2f` and `%5c` go on, a slash to some and a letter to others."
    ),
    "path-rewritten": Kind(
        _UNSAFE, _NGINX, "The upstream gets another path than the one that was decided on."
    ),
    "route-rewrites": Kind(_ADVICE, _ENVOY, "Rules have to be written for the path that clients send."),
    "check-protocol": Kind(
        _MISSING, _BOTH, "The check is not made as plain HTTP/1.1, which is all extauth speaks."
    ),
    "check-address": Kind(_MISSING, _BOTH, "The check goes elsewhere than to `listen.check`."),
    "check-prefix": Kind(_MISSING, _BOTH, "extauth takes the check for another proxy's, or for none."),
    "check-headers": Kind(_MISSING, _BOTH, "extauth doesn't get the key or the request's id."),
    "client-address-unknown": Kind(_MISSING, _BOTH, "extauth doesn't learn the client's address."),
    "check-timeout": Kind(
        _MISSING, _BOTH, "Who waits for a place gets the proxy's 503 instead of an answer."
    ),
    "check-timeout-long": Kind(_ADVICE, _BOTH, "An extauth that hangs holds every client for that long."),
    "body-sent": Kind(
        _MISSING, _BOTH, "The check waits for the request's body, which extauth never looks at."
    ),
    "check-cached": Kind(
        _UNSAFE, _NGINX, "One client is let in by what extauth said of another, or of a key since revoked."
    ),
    "check-retried": Kind(_ADVICE, _BOTH, "An extauth that is slow is asked twice as much."),
    "check-connections": Kind(_ADVICE, _NGINX, "A new connection is made for each check."),
    "idle-timeout": Kind(
        _MISSING, _BOTH, "Now and then a check goes into a connection that extauth is closing."
    ),
    "mutations-unchecked": Kind(_ADVICE, _ENVOY, "A malformed header of an answer isn't noticed."),
    "failure-status": Kind(_MISSING, _BOTH, "With extauth gone, clients get 403 or 500 instead of 503."),
    "failure-unexplained": Kind(
        _ADVICE, _ENVOY, "With extauth gone, clients get a 503 without a problem body."
    ),
    "refusals-overwritten": Kind(_MISSING, _ENVOY, "extauth's own refusals lose their body."),
    "refusals-bare": Kind(
        _MISSING, _NGINX, "Refusals lose status and body: 401 and 403 with a page of nginx."
    ),
    "refusal-type": Kind(_MISSING, _BOTH, "The problem body of a refusal is called text."),
    "errors-intercepted": Kind(
        _MISSING, _NGINX, "The upstream's own 401 and 403 are answered as refusals of extauth."
    ),
    "identity-not-passed": Kind(_MISSING, _BOTH, "The upstream doesn't learn who calls."),
    "limits-not-told": Kind(_MISSING, _BOTH, "Clients don't see their limits, or when to come again."),
    "limits-doubled": Kind(_ADVICE, _BOTH, "An upstream's own limit headers stand beside extauth's."),
    "rotation-not-told": Kind(_MISSING, _BOTH, "Callers with a rotated key don't learn that it ends."),
    "security-headers": Kind(_MISSING, _BOTH, "Answers lack headers of `headers.security`."),
    "no-signals": Kind(
        _MISSING, _BOTH, "Nobody reports that requests ended: each is in flight until its lease expires."
    ),
    "signals-address": Kind(_MISSING, _BOTH, "Ends are reported elsewhere than to `listen.completion`."),
    "signals-incomplete": Kind(_MISSING, _BOTH, "Reports don't say which request ended, or which lease."),
    "signals-late": Kind(_MISSING, _ENVOY, "Reports are held back: who asks again at once is refused."),
    "signals-without-token": Kind(_MISSING, _ENVOY, "Reports don't bring `throttle.token`, and are refused."),
    "lease-forgotten": Kind(_MISSING, _BOTH, "The lease isn't kept until the request ends."),
    "progress-not-told": Kind(_ADVICE, _ENVOY, "Requests that run longer than their lease lose it."),
    "query-logged": Kind(_UNSAFE, _NGINX, "Keys in queries are written into an access log."),
    "elsewhere": Kind(_ADVICE, _BOTH, "A part comes from elsewhere, and was not looked at."),
}
