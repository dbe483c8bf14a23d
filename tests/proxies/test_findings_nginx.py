"""Each mistake in a configuration of nginx is found, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauth.proxies.checking.findings import KINDS, UnreadableError
from tests.proxies.looked import Change, found, written

_ASK, _HTTP = "extauth.conf", "extauth-http.conf"
_HEADERS, _SECURITY, _SIGNALS = "extauth-headers.conf", "extauth-security.conf", "extauth-signals.conf"
_PASS = "proxy_pass http://api;"
_HEAD = "proxy_method HEAD;"
_END = "return 403;\n}\n\nlocation @extauth_refusal"
_RAW = "$request_uri;\n  proxy_set_header X-Extauth"
_FROM = "$remote_addr;\n  proxy_set_header X-Req"
_NEW = "set $where extauth; proxy_pass http://$where/nginx;"
_PATIENT = {"tiers": {"default": {"concurrency": {"max": 1, "queue": 1, "wait": "2s"}}}}


def _without(code: str, line: str, file: str) -> Change:
    return Change(code, line, "", file)


CHANGES = [
    _without("unchecked", "auth_request /_extauth;", _ASK),
    Change("check-partial", _PASS, f"{_PASS} satisfy any;"),
    Change("check-disabled", _PASS, f"{_PASS} auth_request off;"),
    Change(
        "check-left",
        _PASS,
        f"{_PASS} }} location /a/ {{ rewrite ^/a/(.*) /hidden/$1 last; }} location /hidden/ "
        f"{{ internal; auth_request off; {_PASS}",
    ),
    Change("fails-open", _END, _END.replace("403", "204"), _ASK),
    Change("fails-open", "505 507 = @extauth_no_answer", "505 507 =200 /ok", _ASK),
    Change(
        "fails-open",
        _PASS,
        f"{_PASS} error_page 401 403 = @extauth_refusal; error_page 500 = @open; }} location @open "
        "{ internal; auth_request off; proxy_pass http://api;",
    ),
    _without("check-public", "  internal;\n", _ASK),
    _without("check-not-clean", "proxy_pass_request_headers off;", _ASK),
    Change("target-not-sent", _RAW, _RAW.replace("request_", ""), _ASK),
    _without("host-differs", "proxy_set_header Host                $host;", _ASK),
    Change("host-differs", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;", _HEADERS),
    Change("client-address-believed", _FROM, _FROM.replace("remote_addr", "http_x_real_ip"), _ASK),
    _without("client-address-unknown", "proxy_set_header X-Extauth-Client-Ip $remote_addr;", _ASK),
    Change("address-claims", "For   $remote_addr", "For $proxy_add_x_forwarded_for", _HEADERS),
    _without("address-claims", 'proxy_set_header Forwarded         "";', _HEADERS),
    Change("request-id-chosen", "X-Request-Id        $request_id", "X-Request-Id $http_x_request_id", _ASK),
    _without("request-id-chosen", "proxy_set_header X-Request-Id   $request_id;", _HEADERS),
    _without("identity-forged", "proxy_set_header X-Auth-Tier    $extauth_tier;", _HEADERS),
    Change("identity-forged", "$extauth_user_id;", "$http_x_auth_user_id;", _HEADERS),
    _without("internal-forged", 'proxy_set_header X-Extauth-Lease     "";', _HEADERS),
    Change("aliases-kept", "underscores_in_headers off;", "underscores_in_headers on;", _ASK),
    Change("aliases-kept", "ignore_invalid_headers on;", "ignore_invalid_headers off;", _ASK),
    _without("target-forged", 'proxy_set_header X-Rewrite-URL          "";', _HEADERS),
    _without("key-forwarded", 'proxy_set_header X-API-Key     "";', _HEADERS),
    Change("key-forwarded", "$extauth_upstream_authorization;", "$http_authorization;", _HEADERS),
    Change("path-rewritten", _PASS, "proxy_pass http://api/;"),
    Change("path-rewritten", _PASS, f"rewrite ^/old/(.*) /$1 break; {_PASS}"),
    Change("path-rewritten", _PASS, "proxy_pass http://api$uri;"),
    Change("fails-open", "505 507 = @extauth_no_answer", "505 507 = /elsewhere", _ASK),
    Change(
        "identity-forged",
        "proxy_set_header X-Auth-Tier    $extauth_tier;",
        "proxy_set_header X-Auth-Tier $http_x; proxy_set_header X-Auth-Tier $extauth_tier;",
        _HEADERS,
    ),
    Change("key-forwarded", 'X-API-Key     "";', 'X-API-Key "${http_x_api_key}";', _HEADERS),
    Change("elsewhere", _PASS, "set $t http://api; proxy_pass $t;"),
    Change("check-cached", _HEAD, f"{_HEAD} proxy_cache c;", _ASK),
    Change("client-address-believed", _HEAD, f"{_HEAD} set_real_ip_from 0.0.0.0/0;", _ASK),
    Change("check-protocol", "http://extauth/nginx", "https://extauth/nginx", _ASK),
    Change("check-address", "server 127.0.0.1:9000;", "server 127.0.0.1:9090;", _HTTP),
    Change("check-address", "auth_request /_extauth;", "auth_request /_other;", _ASK),
    Change("check-prefix", "http://extauth/nginx", "http://extauth", _ASK),
    _without("check-headers", "proxy_set_header X-API-Key           $http_x_api_key;", _ASK),
    Change("check-timeout", "proxy_read_timeout 1s;", "proxy_read_timeout 400ms;", _ASK),
    Change("check-timeout", "", "", _ASK, _PATIENT),
    _without("check-timeout-long", "proxy_read_timeout 1s;", _ASK),
    _without("body-sent", "proxy_pass_request_body off;", _ASK),
    _without("body-sent", 'proxy_set_header Content-Length "";', _ASK),
    Change("check-retried", "proxy_next_upstream error;", "proxy_next_upstream error timeout;", _ASK),
    _without("check-connections", "keepalive 32;", _HTTP),
    _without("check-connections", "proxy_method HEAD;", _ASK),
    Change("idle-timeout", "keepalive_timeout 60s;", "keepalive_timeout 75s;", _HTTP),
    _without("failure-status", "proxy_intercept_errors on;", _ASK),
    _without("refusals-bare", "error_page 401 403 = @extauth_refusal;", _ASK),
    _without("refusals-bare", "if ($extauth_status = 429) { return 429 $extauth_body; }", _ASK),
    _without("refusal-type", "default_type application/problem+json;", _ASK),
    Change("errors-intercepted", "proxy_intercept_errors off;", "proxy_intercept_errors on;", _ASK),
    _without(
        "identity-not-passed", "auth_request_set $extauth_tier             $upstream_http_x_auth_tier;", _ASK,
    ),
    _without(
        "limits-not-told", "add_header RateLimit             $extauth_ratelimit        always;", _HEADERS,
    ),
    _without("limits-not-told", "add_header Retry-After           $extauth_client_retry_after always;", _ASK),
    _without("limits-doubled", "proxy_hide_header X-RateLimit-Reset;", _HEADERS),
    _without(
        "rotation-not-told", "add_header Sunset                $extauth_sunset           always;", _HEADERS,
    ),
    _without(
        "security-headers", "add_header Referrer-Policy           $extauth_referrer   always;", _SECURITY,
    ),
    Change("no-signals", _PASS, f"{_PASS} access_log off;"),
    Change("signals-address", "server=127.0.0.1:9002", "server=127.0.0.1:9003", _SIGNALS),
    _without("signals-incomplete", "lease=$extauth_signal_lease ", _HTTP),
    _without(
        "lease-forgotten", "auth_request_set $extauth_lease            $upstream_http_x_extauth_lease;", _ASK,
    ),
    Change(
        "query-logged", _PASS, f"{_PASS} include extauth-signals.conf; access_log access.log;", "",
        {"credentials": {"query_parameter": True}},
    ),
    Change("elsewhere", "proxy_pass http://extauth/nginx;", _NEW, _ASK),
]  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"tiers": {}}, {"credentials": {"query_parameter": True}}])
def test_the_shipped_files_are_fine(tmp_path: Path, settings: dict[str, object]) -> None:
    """Whoever copied them is told nothing."""
    assert found("nginx", written("nginx", tmp_path), settings) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.code}: {change.old.strip()[:40]}")
def test_one_change_is_one_finding(tmp_path: Path, change: Change) -> None:
    """With its code, at the file where something is to be changed, and nothing else is found."""
    (finding,) = found("nginx", written("nginx", tmp_path, change), change.settings)
    assert finding.code == change.code
    file, _, line = finding.where.rpartition(":")
    assert Path(file).is_relative_to(tmp_path)
    assert len(Path(file).read_text().splitlines()) >= int(line) > 0
    assert finding.wrong
    assert finding.instead


def test_every_code_of_nginx_is_tried() -> None:
    """A rule that nothing shows to work is none."""
    assert {change.code for change in CHANGES} == {
        code for code, kind in KINDS.items() if "nginx" in kind.proxies
    }


def test_a_location_with_a_header_of_its_own_loses_all(tmp_path: Path) -> None:
    """`proxy_set_header` is inherited only into places that have none: the commonest mistake."""
    change = Change("", _PASS, f"{_PASS} proxy_set_header X-Own own;")
    codes = {finding.code for finding in found("nginx", written("nginx", tmp_path, change))}
    assert {"identity-forged", "key-forwarded", "internal-forged", "target-forged"} <= codes


def test_a_location_that_includes_the_headers_again_is_fine(tmp_path: Path) -> None:
    """As the guide says."""
    change = Change(
        "",
        "proxy_pass http://api;",
        "proxy_pass http://api; include extauth-headers.conf; add_header X-Own own;",
    )
    assert found("nginx", written("nginx", tmp_path, change)) == []


def test_other_protocols_are_looked_at_too(tmp_path: Path) -> None:
    """`fastcgi_pass` hands the client's headers on unless parameters of their names are set."""
    change = Change("", "proxy_pass http://api;", "fastcgi_pass 127.0.0.1:9500;")
    codes = {finding.code for finding in found("nginx", written("nginx", tmp_path, change))}
    assert {"identity-forged", "key-forwarded"} <= codes
    assert "path-rewritten" not in codes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http {", "unexpected end of file"),
        ("}", "unexpected '}'"),
        ("http { server { listen 80 } }", "unexpected '}'"),
        (";", "unexpected ';'"),
        ('log_format a "never', "a quotation has no end"),
        ("include nowhere.conf;", "'nowhere.conf' is no file"),
        ("include main.conf;", "round in a circle"),
        ("http { }", "no `server`"),
        (40 * "a { ", "nested more than 32 levels"),
        ("content_by_lua_block { if {", "a block with a program has no end"),
    ],
)
def test_what_is_not_nginx_is_told(tmp_path: Path, text: str, said: str) -> None:
    """With the file, and the line where there is one."""
    path = tmp_path / "main.conf"
    path.write_text(text)
    with pytest.raises(UnreadableError, match=said) as raised:
        found("nginx", path)
    assert str(raised.value).startswith(str(path))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """A name that nothing has, and a folder."""
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UnreadableError, match=str(path)):
            found("nginx", path)


def test_includes_are_relative_to_the_main_file_and_may_be_patterns(tmp_path: Path) -> None:
    """As nginx resolves them: also those that stand in included files."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "main.conf").write_text("http { include sites/*.conf; }")
    (tmp_path / "sites" / "a.conf").write_text("server { include inner.conf; }")
    (tmp_path / "inner.conf").write_text("location / { proxy_pass http://api; }")
    (finding,) = found("nginx", tmp_path / "main.conf")
    assert (finding.code, finding.where) == ("unchecked", f"{tmp_path / 'inner.conf'}:1")


def test_a_file_in_which_nobody_asks_is_never_fine(tmp_path: Path) -> None:
    """Whatever it serves, and by whichever handler: there is no check in it."""
    file = tmp_path / "nginx.conf"
    file.write_text("events {} http { server { root /srv; autoindex on; location / { index x; } } }")
    assert [finding.code for finding in found("nginx", file)] == ["unchecked"]
