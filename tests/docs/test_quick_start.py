"""The quick start works as it stands, with the real proxies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.consoles import REPOSITORY, Terminal, files, steps
from tests.integration.processes import free_ports

_SHIPPED = (8080, 8081, 8082, 9000, 9001, 9002, 9901)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that also nginx's worker may enter: it runs as another user when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="extauth-quick-start-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_the_quick_start_works_as_it_stands(folder: Path) -> None:
    """Each command, one after the other, prints what stands there; only the ports are others."""
    ports = dict(zip(_SHIPPED, free_ports(len(_SHIPPED)), strict=True))
    known = {f"127.0.0.1:{there}": f"127.0.0.1:{here}" for there, here in ports.items()}
    known |= {
        " 8082 ": f" {ports[8082]} ",
        "/tmp/extauth-nginx": str(folder / "run"),
        # Another Envoy on this machine may hold the memory that they share by a fixed number.
        "envoy -c": "envoy --disable-hot-restart -c",
    }
    for proxy in ("envoy", "nginx"):
        _copy(REPOSITORY / proxy, folder / proxy, ports)
    page = files("quick-start.md")
    listen = "".join(
        f"{name}: 127.0.0.1:{ports[port]}, "
        for name, port in (("check", 9000), ("admin", 9001), ("completion", 9002))
    )
    with Terminal(folder, known) as terminal:
        terminal.write({name: f"listen: {{{listen}}}\n{text}" for name, text in page.items()})
        for step in steps("quick-start.md"):
            terminal.run(step)


def _copy(source: Path, to: Path, ports: dict[int, int]) -> None:
    to.mkdir()
    for file in source.iterdir():
        text = file.read_text()
        for there, here in ports.items():
            text = text.replace(f"127.0.0.1:{there}", f"127.0.0.1:{here}")
            text = text.replace(f"port_value: {there} ", f"port_value: {here} ")
        (to / file.name).write_text(text)
