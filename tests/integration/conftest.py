"""One extauth, upstream and proxy of each kind for the whole folder; each test runs through each proxy."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from . import shipped
from .client import request as ask
from .lacks import LACKS, Lack
from .processes import Child, free_ports
from .service import Key, Service
from .upstream import Upstream


class Proxy(NamedTuple):
    """One of the proxies, as clients see it."""

    name: str
    port: int

    def can(self, what: Lack) -> bool:
        """Tell whether it is able to, by the table of what proxies lack."""
        return what not in LACKS[self.name]


class Keys(NamedTuple):
    """The keys that most tests need."""

    reader: Key
    """May read /public, not /admin."""
    admin: Key
    """May read both."""
    spent: Key
    """Has used up its only request of the hour."""


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that also nginx's worker may enter: it runs as another user when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="extauth-integration-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def service(folder: Path) -> Iterator[Service]:
    """The running service."""
    check_port, admin_port = free_ports(2)
    service = Service(folder, check_port=check_port, admin_port=admin_port)
    with running(service.process):
        yield service


@pytest.fixture(scope="session")
def session_upstream() -> Iterator[tuple[Upstream, int]]:
    """The upstream behind all proxies, and its port."""
    upstream = Upstream()
    yield upstream, upstream.start()
    upstream.stop()


@pytest.fixture
def upstream(session_upstream: tuple[Upstream, int]) -> Upstream:
    """The upstream, with nothing received yet."""
    upstream, _ = session_upstream
    upstream.reset()
    return upstream


@pytest.fixture(scope="session")
def proxies(
    folder: Path, service: Service, session_upstream: tuple[Upstream, int]
) -> Iterator[dict[str, Proxy]]:
    """All proxies with the shipped files, by name; on ports of their own, beside a demo that may run."""
    named = shipped.all_ports()
    ports = dict(zip(named, free_ports(len(named)), strict=True))
    # Nobody takes signals: no key has a limit on requests in flight here.
    ports |= {8082: session_upstream[1], 9000: service.check_port}
    with contextlib.ExitStack() as stack:
        for name in shipped.PROXIES:
            (folder / name).mkdir()
            stack.enter_context(running(shipped.child(name, folder / name, ports)))
        yield {name: Proxy(name, ports[proxy.ingress]) for name, proxy in shipped.PROXIES.items()}


@pytest.fixture(params=list(shipped.PROXIES))
def proxy(request: pytest.FixtureRequest, proxies: dict[str, Proxy]) -> Proxy:
    """One proxy after the other: a test that takes this runs once through each."""
    return proxies[request.param]


@pytest.fixture(scope="session")
def keys(service: Service, proxies: dict[str, Proxy]) -> Keys:
    """Keys made by the command line; the spent one is spent here."""
    keys = Keys(
        reader=service.create_key("reader@example.com", scopes=("public:read",)),
        admin=service.create_key("admin@example.com", scopes=("public:read", "admin:read")),
        spent=service.create_key("spent@example.com", tier="spent"),
    )
    first = ask(proxies["nginx"].port, headers=[("X-API-Key", keys.spent.text)])
    assert first.status == 200
    return keys


@contextlib.contextmanager
def running(child: Child) -> Iterator[None]:
    """Have a program running."""
    child.start()
    try:
        yield
    finally:
        child.stop()
