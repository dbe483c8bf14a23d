"""The headers that a proxy has to clear, to send and to pass on, as the shipped configurations do."""

from __future__ import annotations

IDENTITY = ("x-auth-key-id", "x-auth-user-id", "x-auth-scopes", "x-auth-tier")
INTERNAL = (
    "x-extauth-client-ip",
    "x-extauth-status",
    "x-extauth-body",
    "x-extauth-lease",
    "x-envoy-auth-failure-mode-allowed",
)
ADDRESS = ("x-forwarded-for", "x-real-ip", "forwarded")
# Another method, path or host than the one that extauth decides about.
OVERRIDES = (
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
)
LIMITS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy")
ROTATION = ("deprecation", "sunset")
# The pages for consumers: docs/consumers.md has them published without a check.
PAGES = "/docs/"
LEASE = "x-extauth-lease"
REQUEST_ID = "x-request-id"
CLIENT_ADDRESS = "x-extauth-client-ip"


def listed(names: list[str]) -> str:
    """Write names for people."""
    return ", ".join(names)
