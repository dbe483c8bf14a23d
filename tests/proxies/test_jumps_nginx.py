"""What leads from one location of nginx to another: told where nginx really leaves the check behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration import shipped
from tests.integration.client import request
from tests.integration.processes import free_ports
from tests.integration.upstream import Upstream
from tests.proxies.looked import Change, found, written

_SERVER = "    include extauth.conf;\n"
_PASS = "proxy_pass http://api;"
_HIDDEN = "location /hidden/ { internal; auth_request off; proxy_pass http://api; }"
_NAMED = "location @named { auth_request off; proxy_pass http://api; }"
_FILES = "location @files { auth_request off; root .; }"


class Jump(NamedTuple):
    """Lines of a server, and a request that they lead elsewhere."""

    lines: str
    target: str
    body: bytes = b""


LEAVING = [
    Jump(f"location /a/ {{ rewrite ^/a/(.*) /hidden/$1 last; }} {_HIDDEN}", "/a/1"),
    Jump(f"location /a/ {{ rewrite ^/a/(.*) /hidden/$1; }} {_HIDDEN}", "/a/1"),
    Jump(f"location /a/ {{ if ($arg_b) {{ rewrite ^ /hidden/1 last; }} }} {_HIDDEN}", "/a/1?b=1"),
    Jump(f"location /a/ {{ rewrite ^/a(/.*) $1 last; }} {_HIDDEN}", "/a/hidden/1"),
    Jump(
        "location /a/ { rewrite ^ /b.hidden last; } "
        r"location ~ \.hidden$ { internal; auth_request off; proxy_pass http://api; }",
        "/a/1",
    ),
    Jump(f"rewrite ^/a/(.*) /hidden/$1; {_HIDDEN}", "/a/1"),
    Jump(f"rewrite ^/a/(.*) /hidden/$1 break; {_HIDDEN}", "/a/1"),
    Jump(
        f"location ^~/a/ {{ rewrite ^ /b last; }} location =/b {{ internal; auth_request off; {_PASS} }}",
        "/a/1",
    ),
    Jump(f"if ($arg_b) {{ rewrite ^ /hidden/1; }} {_HIDDEN}", "/a/1?b=1"),
    Jump(f"location /a/ {{ error_page 418 = @named; return 418; }} {_NAMED}", "/a/1"),
    Jump(
        f"client_max_body_size 1; location /a/ {{ error_page 413 = @named; {_PASS} }} {_NAMED}",
        "/a/1",
        b"more",
    ),
    Jump(f"location /a/ {{ internal; error_page 404 = @named; proxy_pass http://api; }} {_NAMED}", "/a/1"),
    Jump(
        f"location /a/ {{ if ($arg_b) {{ return 410; }} error_page 410 = /hidden$uri; }} {_HIDDEN}",
        "/a/1?b=1",
    ),
]
STAYING = [
    Jump(f"location /a/ {{ try_files /none @named; }} {_NAMED}", "/a/1"),
    Jump(f"location /a/ {{ try_files /none /hidden/1; }} {_HIDDEN}", "/a/1"),
    Jump(f"location /a/ {{ error_page 404 502 504 = @named; root .; }} {_NAMED}", "/a/1"),
    Jump(f"location /b/ {{ root .; }} location /a/ {{ rewrite ^ /b/ last; }} {_HIDDEN}", "/a/1"),
    Jump(f"location /a/ {{ rewrite ^ /hidden/1 redirect; }} {_HIDDEN}", "/b"),
    Jump(
        f"location = /hidden/1 {{ root .; }} location /a/ {{ rewrite ^ /hidden/1 last; }} {_HIDDEN}",
        "/a/1",
    ),
    # An upstream that was asked after a check may lead there, by X-Accel-Redirect.
    Jump(_HIDDEN, "/a/1"),
    # The page of an error, which is the same for everybody.
    Jump(
        "error_page 413 /413.html; client_max_body_size 1; "
        "location = /413.html { internal; auth_request off; root .; }",
        "/a/1",
    ),
    Jump(
        "error_page 418 = @closed; location /a/ { if ($arg_b) { return 418; } proxy_pass http://api; } "
        "location @closed { auth_request off; root .; rewrite ^ /closed.html break; }",
        "/a/1",
    ),
    Jump(
        "error_page 418 = @closed; location /a/ { if ($arg_b) { return 418; } proxy_pass http://api; } "
        "location @closed { auth_request off; root .; try_files /closed.html =418; }",
        "/a/1",
    ),
]


@pytest.fixture
def api() -> Iterator[tuple[Upstream, int]]:
    """Give an API and its port. No extauth answers, so whoever reaches the API was not checked."""
    upstream = Upstream()
    yield upstream, upstream.start()
    upstream.stop()


def _codes(folder: Path, jump: Jump) -> list[str]:
    (folder / "looked").mkdir()
    change = Change("", _SERVER, f"{_SERVER}    {jump.lines}\n")
    return [finding.code for finding in found("nginx", written("nginx", folder / "looked", change))]


@pytest.mark.parametrize("jump", LEAVING + STAYING, ids=lambda jump: jump.lines[:60])
def test_what_leaves_the_check_behind_is_told(tmp_path: Path, api: tuple[Upstream, int], jump: Jump) -> None:
    """What nginx lets pass unchecked is found, and what it asks about is not."""
    leaves, (upstream, port) = jump in LEAVING, api
    assert ("check-left" in _codes(tmp_path, jump)) is leaves
    names = shipped.PROXIES["nginx"].ports
    ports = {**dict(zip(names, free_ports(len(names)), strict=True)), 8082: port}

    def add(file: Path) -> None:
        file.write_text(file.read_text().replace(_SERVER, f"{_SERVER}    {jump.lines}\n"))

    tmp_path.chmod(0o755)
    nginx = shipped.child("nginx", tmp_path, ports, add)
    nginx.start()
    try:
        method = "POST" if jump.body else "GET"
        answer = request(ports[8081], jump.target, method=method, body=jump.body)
    finally:
        nginx.stop()
    assert (answer.status == 200, len(upstream.requests)) == (leaves, leaves)


@pytest.mark.parametrize("jump", STAYING, ids=lambda jump: jump.lines[:60])
def test_what_is_checked_before_has_nothing_else_against_it(tmp_path: Path, jump: Jump) -> None:
    """Under the shipped includes its headers are extauth's as well."""
    assert _codes(tmp_path, jump) == []


def test_a_rewrite_to_a_checked_location_is_told_as_what_it_is(tmp_path: Path) -> None:
    """Nothing passes unchecked, but the upstream gets another path than was decided on."""
    lines = f"location /a/ {{ rewrite ^/a/(.*) /b/$1 last; }} location /b/ {{ internal; {_PASS} }}"
    assert _codes(tmp_path, Jump(lines, "")) == ["path-rewritten"]


def test_headers_of_clients_are_told_also_behind_a_check(tmp_path: Path) -> None:
    """A location to which others lead hands them on, although nobody asks there."""
    named = "location @named { auth_request off; proxy_set_header X-Own own; proxy_pass http://api; }"
    codes = _codes(tmp_path, Jump(f"location /a/ {{ try_files /none @named; }} {named}", "/a/1"))
    assert {"identity-forged", "key-forwarded"} <= {*codes}
    assert "check-left" not in codes


def test_an_internal_location_that_is_checked_is_looked_at_where_others_lead_to_it(tmp_path: Path) -> None:
    """Else it is for an upstream or a script, which nobody sees here."""
    inner = "location /hidden/ { internal; proxy_set_header X-Own own; proxy_pass http://api; }"
    assert _codes(tmp_path, Jump(inner, "")) == []
    (tmp_path / "looked").rename(tmp_path / "first")
    assert "identity-forged" in _codes(
        tmp_path, Jump(f"location /a/ {{ try_files /b /hidden/; }} {inner}", "")
    )


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ("error_page 403 /hidden/page; error_page 401 = @extauth_refusal; ", {"fails-open"}),
        ("location /b/ { root .; error_page 403 = @files; }", {"fails-open"}),
        ("location /b/ { root .; limit_req zone=z; error_page 503 = @named; }", {"check-left"}),
        ("location /b/ { root .; limit_req zone=z; limit_req_status 429; error_page 503 = @named; }", set()),
        ("location /b/ { root .; limit_conn z 1; error_page 503 = @named; }", {"check-left"}),
        ("location /b/ { root .; error_page 413 = @files; }", {"check-left"}),
        ("location /b/ { auth_request off; error_page 403 = @named; return 403; }", {"check-left"}),
    ],
)  # fmt: skip
def test_errors_lead_past_the_check_too(tmp_path: Path, lines: str, codes: set[str]) -> None:
    """Those that come before it, and its own refusals."""
    told = {*_codes(tmp_path, Jump(f"{lines} {_HIDDEN} {_NAMED} {_FILES}", ""))}
    assert told & {"fails-open", "check-left"} == codes
