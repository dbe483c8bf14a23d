"""Signals of an nginx that has more than the shipped example."""

from __future__ import annotations

import pytest

from extauth.completion.signals import Signal
from tests.integration.client import Connection, request
from tests.integration.conftest import Proxy

from .conftest import Stage
from .looking import checks_of, end_of, ends_of, key, leave


@pytest.fixture
def nginx(stage: Stage) -> Proxy:
    """The one proxy."""
    return Proxy("nginx", stage.ports.ingress("nginx"))


def test_requests_without_a_check_cost_no_signal(stage: Stage, nginx: Proxy) -> None:
    """Where the operator switched the check off, and where nginx refuses before it."""
    assert request(nginx.port, "/unchecked/a").status == 200
    assert request(nginx.port, "/" + "a" * 9_000).status == 414
    assert ends_of(stage, nginx) == []
    assert "/unchecked/a" not in str(stage.authority.checks)


def test_a_location_with_a_log_of_its_own_reports_too(stage: Stage, nginx: Proxy) -> None:
    """With extauth-signals.conf included again."""
    assert request(nginx.port, "/logged/a", headers=key()).status == 200
    (check,) = checks_of(stage)
    assert ends_of(stage, nginx) == [end_of(check)]


def test_a_request_that_was_checked_twice_ends_all_of_its_leases(stage: Stage, nginx: Proxy) -> None:
    """For a page of errors nginx asks again, knows the last lease only, and names none."""
    assert request(nginx.port, "/paged/none", headers=key()).status == 404
    first, second = checks_of(stage, 2)
    assert first.request_id == second.request_id
    assert ends_of(stage, nginx) == [Signal(first.request_id, "", progress=False)]
    assert stage.authority.left() == 0


def test_nginx_has_nothing_to_warn_of(stage: Stage, nginx: Proxy) -> None:
    """A request whose check has no answer leaves variables empty; that is no warning."""
    before = len(stage.proxies["nginx"].output())
    connection = Connection(nginx.port)
    connection.send("/quick", headers=key("late"))
    checks_of(stage)
    leave(connection, by_reset=False)
    assert request(nginx.port, "/unchecked/a").status == 200
    assert len(ends_of(stage, nginx)) == 1
    assert "uninitialized" not in stage.proxies["nginx"].output()[before:]
