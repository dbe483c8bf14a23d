"""The demo's ports: the proxies' configurations get them; one that is taken is named with what to type."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from extauth.demo.conflicts import conflicts, require_free
from extauth.demo.errors import DemoError
from extauth.demo.listeners import Listener, listener_on
from extauth.demo.ports import Ports
from extauth.demo.proxies import configuration
from extauth.demo.service import write_configuration
from extauth.settings.load import load_settings

OTHERS = Ports(
    envoy=18080,
    envoy_admin=19901,
    nginx=18081,
    upstream=18082,
    check=19000,
    admin=19001,
    completion=19002,
)
PROXIES = {
    "envoy": {"envoy", "envoy_admin", "upstream", "check", "completion"},
    "nginx": {"nginx", "upstream", "check", "completion"},
}


def _free(_port: int) -> None:
    return None


def _taken(_port: int) -> int:
    return errno.EADDRINUSE


def _nobody(_port: int) -> None:
    return None


@pytest.mark.parametrize("kind", PROXIES)
def test_every_port_of_a_proxy_is_replaced(tmp_path: Path, kind: str) -> None:
    """No default port is left in its configuration, so that two demos can run side by side."""
    settings = load_settings(write_configuration(tmp_path, OTHERS), {})
    (text,) = configuration(kind, OTHERS, settings).values()
    assert {name for name, port in OTHERS.by_name().items() if str(port) in text} == PROXIES[kind]
    defaults = "|".join(str(port) for port in Ports().by_name().values())
    assert re.findall(rf"\b(?:{defaults})\b", text) == []


def test_free_ports_are_no_conflict() -> None:
    """Nothing is said where nothing is wrong."""
    assert conflicts(Ports().by_name(), refusal=_free, holder=_nobody) == {}


def test_a_conflict_names_port_purpose_and_holder() -> None:
    """Whoever reads the message knows which program to stop."""
    said = conflicts({"nginx": 8081}, refusal=_taken, holder=lambda _: Listener("java", 4711))
    reason = "The demo needs it for nginx, where clients connect."
    assert said == {"nginx": f"port 8081 is taken, by java (process 4711). {reason}"}


def test_a_holder_that_cannot_be_seen() -> None:
    """Where the kernel hides the process, the message says how root finds it."""
    said = conflicts({"check": 9000}, refusal=_taken, holder=_nobody)
    assert "another user (sudo ss -ltnp 'sport = 9000' names it)" in said["check"]


def test_one_port_for_two_purposes() -> None:
    """The same number given twice is found before the second program fails on it."""
    said = conflicts({"envoy": 8080, "nginx": 8080}, refusal=_free, holder=_nobody)
    assert said == {"nginx": "port 8080 can't be both --envoy-port and --nginx-port."}


def test_a_port_for_root_only() -> None:
    """A port that may not be used is told apart from one that is taken."""
    said = conflicts({"nginx": 80}, refusal=lambda _: errno.EACCES, holder=_nobody)
    assert said["nginx"] == "port 80, for nginx, where clients connect, can't be used: Permission denied."


def test_what_to_type_is_complete() -> None:
    """The message holds a command that works: other ports for those taken, and those chosen before."""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as unused:
        port, free = other.getsockname()[1], unused.getsockname()[1]
        unused.close()
        with pytest.raises(DemoError) as raised:
            require_free(Ports(envoy_admin=port, check=free), needed={"envoy_admin", "check"})
    message = str(raised.value)
    assert message.startswith(f"port {port} is taken, by ")
    assert f"(process {os.getpid()})" in message
    typed = re.search(rf"make demo ENVOY_ADMIN_PORT=(\d+) CHECK_PORT={free}\n", message)
    assert typed is not None
    assert int(typed[1]) != port
    assert f"extauth demo --envoy-admin-port {typed[1]} --check-port {free}" in message


def test_ports_that_nobody_needs_may_be_taken() -> None:
    """A demo without nginx doesn't ask for nginx's port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        require_free(Ports(nginx=other.getsockname()[1]), needed=set())


def test_the_listener_on_a_port_is_found() -> None:
    """The kernel's tables are read right: this very process is found, and nobody once it has stopped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = listener_on(port)
        assert found is not None
        assert found.pid == os.getpid()
    assert listener_on(port) is None
