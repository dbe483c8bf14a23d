"""All proxies between a counting upstream and a stand-in for extauth, for the whole folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration import shipped
from tests.integration.conftest import Proxy
from tests.integration.processes import Child, wait_until

from .background import Background
from .intake import Intake
from .proxies import Ports, running, some_ports
from .stand_in import StandIn
from .upstream import Upstream

PATIENCE = 5.0


class Stage(NamedTuple):
    """Everything that tests of signals look at."""

    background: Background
    ports: Ports
    proxies: dict[str, Child]
    upstream: Upstream
    authority: StandIn
    intake: Intake


@pytest.fixture(scope="session")
def whole_stage() -> Iterator[Stage]:
    """Everything, running."""
    ports = some_ports()
    upstream, intake = Upstream(ports.upstream), Intake(ports.completion)
    authority = StandIn(ports.check)
    intake.listeners.append(authority.end)
    folder = Path(tempfile.mkdtemp(prefix="extauth-inflight-"))
    folder.chmod(0o755)
    with Background() as background:
        for server in (upstream, intake, authority):
            background.run(server.start())
        with running(folder, ports) as children:
            yield Stage(background, ports, children, upstream, authority, intake)
        for server in (upstream, intake, authority):
            background.run(server.stop())
    shutil.rmtree(folder)


@pytest.fixture
def stage(whole_stage: Stage) -> Iterator[Stage]:
    """Everything, with nothing seen yet. At the end all is idle, and nothing came that can't be read."""
    whole_stage.upstream.forget()
    whole_stage.authority.forget()
    whole_stage.intake.forget()
    yield whole_stage
    wait_until(lambda: whole_stage.upstream.left() == 0, within=PATIENCE, what="the upstream idle")
    # Else the next test would be told.
    wait_until(lambda: whole_stage.authority.left() == 0, within=PATIENCE, what="all leases ended")
    assert whole_stage.intake.unread == []
    # HAProxy's log is also where it tells of bad requests, and that a client's leaving ended the Lua action.
    assert all(b"aborting Lua processing" in line or line[:2] == b"- " for line in whole_stage.intake.ignored)


@pytest.fixture(params=list(shipped.PROXIES))
def proxy(request: pytest.FixtureRequest, stage: Stage) -> Proxy:
    """One proxy after the other."""
    return Proxy(request.param, stage.ports.ingress(request.param))
