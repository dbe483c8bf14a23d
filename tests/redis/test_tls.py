"""Redis over TLS: its certificate is checked, and ours is shown where it asks for one."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauth.errors import StoreError
from tests.integration.processes import accepts, free_ports
from tests.keys import entry, record
from tests.redis.server import HOST, RedisServer, opened, running


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """Make an authority, the server's certificate and a client's."""
    new = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    for name in ("ca", "other"):
        subject = ("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(folder, *new, *subject)
    for name in ("server", "client"):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=IP:{HOST}")
        subject = ("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(folder, *new, *signed, "-addext", "basicConstraints=critical,CA:FALSE", *subject)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with certificates."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module", params=["no", "yes"])
def tls_server(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, bool]]:
    """Give a server that speaks TLS only, and whether it asks clients for a certificate."""
    (port,) = free_ports(1)
    arguments = [
        "--port", "0", "--tls-port", str(port), "--save", "", "--appendonly", "no",
        "--tls-cert-file", str(folder / "server.pem"), "--tls-key-file", str(folder / "server.key"),
        "--tls-ca-cert-file", str(folder / "ca.pem"), "--tls-auth-clients", request.param,
    ]  # fmt: skip
    server = RedisServer(folder / f"redis-{request.param}", arguments, port=port, ready=accepts)
    with running(server):
        yield server, request.param == "yes"


def test_keys_are_kept_over_tls(folder: Path, tls_server: tuple[RedisServer, bool]) -> None:
    """With the authority that the settings name, and with a certificate where Redis wants one."""
    server, asks = tls_server
    shown = {"certificate_file": folder / "client.pem", "private_key_file": folder / "client.key"}

    async def scenario() -> None:
        url = f"rediss://{HOST}:{server.port}"
        async with opened(url, ca_file=folder / "ca.pem", **(shown if asks else {})) as store:
            key_id = f"AAAAbbbb000{int(asks)}"
            await store.add(record(key_id), entry(key_id))
            assert await store.count() == 1

    asyncio.run(scenario())


def test_another_authority_vouches_for_nobody(folder: Path, tls_server: tuple[RedisServer, bool]) -> None:
    """Neither one that didn't sign, nor those of the system, nor a client without TLS."""
    server, asks = tls_server

    async def scenario() -> None:
        where = f"{HOST}:{server.port}"
        refused: list[tuple[str, dict[str, Path], str]] = [
            (f"rediss://{where}", {"ca_file": folder / "other.pem"}, "certificate can't be trusted"),
            (f"rediss://{where}", {}, "certificate can't be trusted"),
            (f"redis://{where}", {}, "if it speaks TLS, the URL must begin with rediss"),
        ]
        if asks:
            refused.append(
                (
                    f"rediss://{where}",
                    {"ca_file": folder / "ca.pem"},
                    "(store.certificate_file|certificate required)",
                )
            )
        for url, settings, words in refused:
            with pytest.raises(StoreError, match=f"{where}: .*{words}"):
                async with opened(url, **settings):
                    pass

    asyncio.run(scenario())


def test_a_certificate_of_another_host_is_refused(folder: Path, tls_server: tuple[RedisServer, bool]) -> None:
    """The name counts, not only who signed."""
    server, _ = tls_server

    async def scenario() -> None:
        with pytest.raises(StoreError, match="localhost"):
            async with opened(f"rediss://localhost:{server.port}", ca_file=folder / "ca.pem"):
                pass

    asyncio.run(scenario())
