"""The shipped configurations for containers: everybody is reached by name, and nothing else is changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from extauth.demo.containers import Hosts, main, with_hosts
from extauth.demo.errors import DemoError

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTS = Hosts(extauth=["one", "two"], upstream="api")
SHIPPED = [
    REPOSITORY / "envoy/envoy.yaml",
    *sorted((REPOSITORY / "nginx").glob("*.conf")),
]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.name))
def test_no_container_is_told_of_its_own_loopback(file: Path) -> None:
    """But for the admin page of Envoy, which stays where nobody else can reach it."""
    changed = with_hosts(file.read_text(), HOSTS, file=file.name)
    left = [line for line in _lines(changed) if "127.0.0.1" in line]
    assert left == [line for line in _lines(file.read_text()) if "9901" in line]


def test_envoy_knows_every_server() -> None:
    """Each is an endpoint of both clusters, looked up by its name."""
    text = with_hosts((REPOSITORY / "envoy/envoy.yaml").read_text(), HOSTS, file="envoy.yaml")
    clusters = yaml.safe_load(text)["static_resources"]["clusters"]
    found = {}
    for cluster in clusters:
        assert cluster["type"] == "STRICT_DNS"
        (locality,) = cluster["load_assignment"]["endpoints"]
        addresses = [
            endpoint["endpoint"]["address"]["socket_address"] for endpoint in locality["lb_endpoints"]
        ]
        found[cluster["name"]] = [(address["address"], address["port_value"]) for address in addresses]
    assert found == {
        "extauth": [("one", 9000), ("two", 9000)],
        "extauth_completion": [("one", 9002), ("two", 9002)],
        "upstream": [("api", 8082)],
    }


def test_nginx_knows_every_server() -> None:
    """Checks go to all of them; reports to one, because several lines of a log would tell each end twice."""
    http = with_hosts((REPOSITORY / "nginx/extauth-http.conf").read_text(), HOSTS, file="extauth-http.conf")
    assert re.findall(r"^ *(server .*;)$", http, re.MULTILINE) == [
        "server one:9000 fail_timeout=1s;",
        "server two:9000 fail_timeout=1s;",
    ]
    signals = with_hosts(
        (REPOSITORY / "nginx/extauth-signals.conf").read_text(), HOSTS, file="extauth-signals.conf"
    )
    assert re.findall(r"server=([a-z]+:\d+)", signals) == ["one:9002"]


@pytest.mark.parametrize(("servers", "cause"), [(["one", "two"], "error timeout"), (["one"], "error")])
def test_a_server_that_is_gone_is_passed_over(servers: list[str], cause: str) -> None:
    """A stopped container refuses nothing; with nobody else to ask, a slow one is not asked twice."""
    text = (REPOSITORY / "nginx/extauth.conf").read_text()
    changed = with_hosts(text, Hosts(extauth=servers, upstream="api"), file="extauth.conf")
    assert re.findall(r"proxy_next_upstream (.*);", changed) == [cause]


def test_all_of_a_proxy_is_written(tmp_path: Path) -> None:
    """As the image does for compose.yaml: every shipped file, in a folder for each proxy."""
    main([str(tmp_path), "--upstream", "api", "--extauth", "one"], standalone_mode=False)
    written = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert written == {file.relative_to(REPOSITORY).as_posix() for file in SHIPPED}


def test_a_port_that_nobody_has_is_a_mistake() -> None:
    """A configuration that is shipped with another listener must not be half right."""
    with pytest.raises(DemoError, match=r"it\.conf names a port that no container has: 1234"):
        with_hosts("listen 127.0.0.1:1234;\n", HOSTS, file="it.conf")
