from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_docs import rows, sections

from . import shipped
from .lacks import LACKS, Lack
from .processes import free_ports


def _ports() -> dict[int, int]:
    named = shipped.all_ports()
    return dict(zip(named, free_ports(len(named)), strict=True))


@pytest.mark.parametrize("name", [name for name, proxy in shipped.PROXIES.items() if proxy.validate])
def test_the_program_accepts_the_shipped_files(tmp_path: Path, name: str) -> None:
    """The real program finds no mistake in them, nothing that it calls deprecated, and nothing to warn of."""
    shipped.copy(name, to=tmp_path, ports=_ports())
    shipped.require_accepted(name, tmp_path)


def test_traefik_has_nothing_to_complain_of(tmp_path: Path) -> None:
    """It has no way to be asked but to be started: it takes the files and the plugin without a word."""
    traefik = shipped.child("traefik", tmp_path, _ports())
    traefik.start()
    traefik.stop()
    assert re.findall("ERR|WRN", traefik.output()) == [], traefik.output()


def test_a_port_that_moved_is_noticed() -> None:
    """A shipped file whose ports changed fails the tests instead of running on somebody else's port."""
    with pytest.raises(AssertionError, match=r"names the ports \[8080\]"):
        shipped.with_ports("listen 127.0.0.1:8080;", expected=frozenset({8081}), ports={8080: 1})


@pytest.mark.parametrize("name", list(shipped.PROXIES))
def test_a_readme_says_what_its_proxy_cannot_do(name: str) -> None:
    """The very rows that tests hold the proxy to, no more and no fewer."""
    guide = (shipped.REPOSITORY / shipped.PROXIES[name].folder / "README.md").read_text()
    (table,) = (text for heading, text in sections(guide).items() if heading.endswith("can't do"))
    assert {row[0] for row in rows(table)} == {lack.value for lack in LACKS[name]}
    assert set(Lack) == set().union(*LACKS.values())
