"""What the demo prints and sets up: lines that work when pasted, valid settings, an honest upstream."""

from __future__ import annotations

import asyncio
import io
import shlex
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from extauth.demo.folder import demo_directory, store_file
from extauth.demo.ports import Ports
from extauth.demo.service import DemoKeys, make_keys, write_configuration
from extauth.demo.story import Setting, attempts, tell
from extauth.demo.upstream import sample_api
from extauth.settings.load import load_settings

PORTS = Ports(check=19000, admin=19001)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo's directory, with brackets and a quote in its name."""
    with demo_directory(tmp_path_factory.mktemp("demo") / "it's [bold] here") as directory:
        return directory


@pytest.fixture(scope="module")
def keys(directory: Path) -> DemoKeys:
    """Keys as the demo makes them."""
    return make_keys(write_configuration(directory, PORTS))


def _ask(
    method: str, path: str, *, content: bytes = b"", headers: dict[str, str] | None = None
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(sample_api())
        async with httpx.AsyncClient(transport=transport, base_url="http://upstream") as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(ask())


def test_the_configuration_is_in_force(directory: Path) -> None:
    """The file that the demo writes has no mistake, and holds the chosen ports and store."""
    settings = load_settings(write_configuration(directory, PORTS), {})
    assert (str(settings.listen.check), str(settings.listen.admin)) == ("127.0.0.1:19000", "127.0.0.1:19001")
    assert settings.store.path == store_file(directory)


def test_the_lines_to_paste_are_whole(directory: Path, keys: DemoKeys) -> None:
    """Each answer has its line for each proxy, unbroken and unchanged also in a narrow terminal."""
    output = io.StringIO()
    setting = Setting(
        proxies={"Envoy": 8080, "nginx": 8081},
        ports=PORTS,
        keys=keys,
        directory=directory,
        command="extauth --config [bold]",
    )
    tell(Console(file=output, width=40), setting)
    printed = output.getvalue().splitlines()
    for name, port in setting.proxies.items():
        tries = list(attempts(f"http://127.0.0.1:{port}", keys))
        assert [attempt.status for attempt in tries] == [200, 401, 403, 429]
        for attempt in tries:
            comment = printed.index(f"# {attempt.status} through {name}: {attempt.shows}")
            assert printed[comment + 1] == attempt.line
    assert f"extauth --config [bold] keys revoke {keys.admin.record.key_id} --yes" in printed
    assert f"Settings and logs: {directory}" in printed


def test_the_lines_to_paste_are_one_command_each(keys: DemoKeys) -> None:
    """A shell reads the key as one header, whatever characters it holds."""
    allowed = next(attempts("http://127.0.0.1:8080", keys))
    assert shlex.split(allowed.line) == [
        "curl",
        "-i",
        "-H",
        f"X-API-Key: {keys.pro.text}",
        "http://127.0.0.1:8080/v1/orders",
    ]


def test_the_upstream_shows_what_it_received() -> None:
    """Identity, body and every header come back, so that nobody has to believe what isn't seen."""
    answer = _ask("POST", "/v1/orders", content=b"x" * 200_000, headers={"X-Auth-User-Id": "alice"})
    report = answer.json()
    assert answer.status_code == 200
    assert report["request"] == "POST /v1/orders"
    assert report["identity"]["X-Auth-User-Id"] == "alice"
    assert report["identity"]["X-Auth-Key-Id"] == ""
    assert report["body_bytes"] == 200_000
    assert "x-auth-user-id: alice" in report["headers"]
    assert report["api_key_received"] is False


def test_the_upstream_tells_on_a_key_that_reaches_it(keys: DemoKeys) -> None:
    """A proxy that forgets to remove the key is found out, and the key goes no further."""
    answer = _ask("GET", "/v1/orders", headers={"Authorization": f"Bearer {keys.pro.text}"})
    assert answer.json()["api_key_received"] is True
    assert keys.pro.text not in answer.text


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_the_upstream_refuses_on_request(status: int) -> None:
    """Refusals of the upstream itself can be tried through the proxies."""
    assert _ask("GET", f"/v1/status/{status}").status_code == status
