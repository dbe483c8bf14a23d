"""The dashboard behind nginx, by the snippet of docs/dashboard.md, and nothing else of the admin listener."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import shipped
from .client import request
from .conftest import Keys, running
from .processes import Child, accepts, free_ports
from .service import Service

(_SNIPPET,) = re.findall(
    r"^```nginx\n(.*?)^```",
    (shipped.REPOSITORY / "docs" / "dashboard.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
_CONFIGURATION = """
daemon off;
pid nginx.pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path temp_body; proxy_temp_path temp_proxy; fastcgi_temp_path temp_fastcgi;
  uwsgi_temp_path temp_uwsgi; scgi_temp_path temp_scgi;
  server {{
    listen 127.0.0.1:{port};
    {snippet}
  }}
}}
"""


@pytest.fixture(scope="module")
def port(folder: Path, service: Service) -> Iterator[int]:
    """Where nginx passes on the dashboard."""
    place = folder / "dashboard"
    place.mkdir(mode=0o755)
    (port,) = free_ports(1)
    assert _SNIPPET.count("9001") == 1
    snippet = _SNIPPET.replace("9001", str(service.admin_port))
    (place / "nginx.conf").write_text(_CONFIGURATION.format(port=port, snippet=snippet))
    nginx = Child(
        shipped.nginx_command(place), log=place / "nginx.log", folder=place, ready=lambda: accepts(port)
    )
    with running(nginx):
        yield port


def test_pages_and_sessions_pass(port: int, keys: Keys) -> None:
    """The shell, its files, and a session that begins and goes on; a name in a path may be escaped."""
    shell = request(port, "/dashboard/users/a%2Fb")
    (script,) = re.findall(rb'src="([^"]+/app\.js)"', shell.body)
    assert (shell.status, request(port, script.decode()).status) == (200, 200)
    begun = request(
        port,
        "/dashboard/api/session",
        method="POST",
        headers=[("Content-Type", "application/json"), ("Sec-Fetch-Site", "same-origin")],
        body=json.dumps({"key": keys.reader.text}).encode(),
    )
    assert begun.status == 200
    cookie = (begun.header("set-cookie") or "").partition(";")[0]
    assert request(port, "/dashboard/api/me/overview", headers=[("Cookie", cookie)]).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "/admin/v1/keys",
        "/dashboard/../metrics",
        "/dashboard/%2e%2e/metrics",
        "/metrics/../dashboard/",
        "/metrics%2f..%2fdashboard/",
        "/docs/../dashboard/x",
        "//metrics/..//dashboard/../readyz",
    ],
)
def test_nothing_else_of_the_admin_listener_is_reached(port: int, target: str) -> None:
    """However the path is written: it is nginx's, or a page of the dashboard."""
    answer = request(port, target)
    assert answer.status == 404 or b"<title>extauth</title>" in answer.body
