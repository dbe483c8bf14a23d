from __future__ import annotations

import pytest

from .client import request
from .conftest import Keys, Proxy
from .upstream import Answer, Upstream

_OWN_HEADERS = (
    ("content-type", "text/x-own"),
    ("www-authenticate", 'Basic realm="upstream"'),
    ("retry-after", "77"),
    ("cache-control", "max-age=9"),
    ("x-own", "untouched"),
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
def test_the_upstreams_own_errors_pass_untouched(
    proxy: Proxy, keys: Keys, upstream: Upstream, status: int, method: str
) -> None:
    """An error of the upstream is the upstream's to word: status, headers and body arrive as it sent them."""
    upstream.answer = Answer(status, _OWN_HEADERS, b"the upstream's own words")
    answer = request(proxy.port, "/public/a", method=method, headers=[("X-API-Key", keys.reader.text)])
    assert answer.status == status
    assert [(name, answer.header(name)) for name, _ in _OWN_HEADERS] == [*_OWN_HEADERS]
    assert answer.body == (b"" if method == "HEAD" else upstream.answer.body)
    assert answer.header("x-ratelimit-limit") == "100000"


def test_limits_are_extauths_word_alone(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """The upstream's own limit headers are removed: a client never sees two answers to one question."""
    names = (
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "ratelimit",
        "ratelimit-policy",
    )
    upstream.answer = Answer(headers=tuple((name, "upstream") for name in names))
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    values = [answer.header(name) for name in names]
    assert all(values)
    assert "upstream" not in values


def test_an_upstream_cannot_send_the_client_elsewhere_by_internal_headers(
    proxy: Proxy, keys: Keys, upstream: Upstream
) -> None:
    """A redirect is an ordinary answer: it passes with its Location as the upstream wrote it."""
    upstream.answer = Answer(302, (("location", "http://elsewhere.example/x"),))
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    assert (answer.status, answer.header("location")) == (302, "http://elsewhere.example/x")
