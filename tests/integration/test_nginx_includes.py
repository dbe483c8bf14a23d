"""The includes inside somebody else's nginx configuration, which has habits of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import shipped
from .client import request
from .conftest import Keys
from .processes import Child, accepts, free_ports
from .service import Service
from .upstream import Answer, Upstream

_CONFIGURATION = """
daemon off;
pid includes.pid;
error_log stderr warn;
events {{ }}
http {{
  access_log off;
  client_body_temp_path temp_body; proxy_temp_path temp_proxy; fastcgi_temp_path temp_fastcgi;
  uwsgi_temp_path temp_uwsgi; scgi_temp_path temp_scgi;
  include extauth-http.conf;
  proxy_intercept_errors on;
  underscores_in_headers on;
  ignore_invalid_headers off;
  proxy_set_header X-Theirs theirs;
  server {{
    listen 127.0.0.1:{port};
    include extauth.conf;
    location / {{
      include extauth-headers.conf;
      proxy_set_header X-Own own;
      add_header X-Own own always;
      proxy_pass http://127.0.0.1:{upstream};
    }}
    location /open/socket {{
      include extauth-headers.conf;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_pass http://127.0.0.1:{upstream};
    }}
    location /open/denied {{
      deny all;
      proxy_pass http://127.0.0.1:{upstream};
    }}
    location /open/files/ {{
      root .;
    }}
    location /unchecked {{
      auth_request off;
      proxy_pass http://127.0.0.1:{upstream};
    }}
  }}
  server {{
    listen 127.0.0.1:{plain};
    location / {{
      auth_request /ask;
      proxy_pass http://127.0.0.1:{upstream};
    }}
    location = /ask {{
      internal;
      proxy_pass http://127.0.0.1:{extauth}/nginx;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-URI $request_uri;
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def includes(
    folder: Path, service: Service, session_upstream: tuple[Upstream, int]
) -> Iterator[tuple[int, int]]:
    """The port of a server with the includes and the port of one with a plain `auth_request`."""
    port, plain, completion = free_ports(3)
    _, upstream = session_upstream
    home = folder / "includes"
    (home / "open" / "files").mkdir(parents=True)
    ports = {8081: port, 8082: upstream, 9000: service.check_port, 9002: completion}
    shipped.copy("nginx", to=home, ports=ports)
    text = _CONFIGURATION.format(port=port, plain=plain, upstream=upstream, extauth=service.check_port)
    (home / "theirs.conf").write_text(text)
    nginx = Child(
        [shipped.nginx_program(), "-p", str(home), "-c", str(home / "theirs.conf"), "-e", "stderr"],
        log=home / "nginx.log",
        folder=home,
        ready=lambda: accepts(port),
    )
    nginx.start()
    yield port, plain
    nginx.stop()


def test_a_location_with_headers_of_its_own_keeps_the_promises(
    includes: tuple[int, int], keys: Keys, upstream: Upstream
) -> None:
    """With extauth-headers.conf included again, identity and limits stand beside its own headers."""
    headers = [("X-API-Key", keys.reader.text), ("X-Auth-User-Id", "forged"), ("X-Request-Id", "forged")]
    answer = request(includes[0], "/public/a", headers=headers)
    (received,) = upstream.requests
    assert (received.header("x-own"), received.header("x-auth-user-id")) == ("own", "reader@example.com")
    assert (answer.header("x-own"), answer.header("x-ratelimit-limit")) == ("own", "100000")
    assert answer.header("x-content-type-options") == "nosniff"
    assert "forged" not in str(received.headers)
    assert keys.reader.text not in str(received.headers)


def test_settings_of_the_whole_server_do_not_weaken_the_check(
    includes: tuple[int, int], keys: Keys, upstream: Upstream
) -> None:
    """With underscores, invalid names and interception switched on elsewhere, the include holds its own."""
    upstream.answer = Answer(401, (("www-authenticate", "Basic"),), b"the upstream's own words")
    spellings = ("X_Auth_User_Id", "X-Auth_User-Id", "X.Auth.User.Id")
    headers = [("X-API-Key", keys.reader.text), *((name, "forged") for name in spellings)]
    answer = request(includes[0], "/public/a", headers=headers)
    assert (answer.status, answer.body) == (401, upstream.answer.body)
    (received,) = upstream.requests
    assert "forged" not in str(received.headers)


def test_an_upgrade_passes_where_the_operator_allows_it(
    includes: tuple[int, int], upstream: Upstream
) -> None:
    """A location for WebSockets adds two lines to the include and passes the upgrade on, still unforged."""
    headers = [("Connection", "upgrade, x-auth-user-id"), ("Upgrade", "websocket"), ("X-Auth-Tier", "forged")]
    assert request(includes[0], "/open/socket", headers=headers).status == 200
    (received,) = upstream.requests
    assert (received.header("connection"), received.header("upgrade")) == ("upgrade", "websocket")
    assert "forged" not in str(received.headers)


@pytest.mark.parametrize("target", ["/open/denied", "/open/files/"])
def test_a_denial_of_nginx_itself_stays_one(
    includes: tuple[int, int], upstream: Upstream, target: str
) -> None:
    """A `deny`, or a folder without an index, answers 403 as ever and not as an extauth that is down."""
    answer = request(includes[0], target)
    assert answer.status == 403
    assert answer.header("content-type") == "text/html"
    assert answer.header("retry-after") is None
    assert upstream.requests == []


def test_an_unchecked_location_passes_no_forged_identity(
    includes: tuple[int, int], upstream: Upstream
) -> None:
    """Where the operator switched the check off, a client still can't say who it is."""
    assert request(includes[0], "/unchecked", headers=[("X-Auth-User-Id", "forged")]).status == 200
    assert request(includes[0], "/unchecked", headers=[("X-API-Key", "forged")]).status == 200
    assert "forged" not in str(upstream.requests)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_plain_auth_request_never_fails_with_a_500(
    includes: tuple[int, int], keys: Keys, upstream: Upstream, method: str
) -> None:
    """Without the include auth_request understands every answer: what it has no word for arrives as 403."""
    asked = [
        ("/public/a", keys.reader.text, 200),
        ("/public/a;b", keys.reader.text, 403),
        ("/public/a", "wrong", 401),
        ("/admin", keys.reader.text, 403),
        ("/any", keys.spent.text, 403),
    ]
    statuses = [
        request(includes[1], target, method=method, headers=[("X-API-Key", key)]).status
        for target, key, _ in asked
    ]
    assert statuses == [status for _, _, status in asked]
    assert len(upstream.requests) == 1
