"""The security headers where clients come over TLS, and what the proxies answer when the upstream is gone."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import yaml

from extauth.settings.headers import SECURITY_HEADERS

from . import shipped
from .client import HOST, Connection, Response
from .conftest import Keys, running
from .processes import free_ports
from .service import Service

# RFC 6797: only an answer that comes over TLS may say so.
_EXPECTED = {**SECURITY_HEADERS, "Strict-Transport-Security": "max-age=31536000"}


@pytest.fixture(scope="module")
def tls(folder: Path) -> ssl.SSLContext:
    """What a client needs that trusts the certificate in the folder."""
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={HOST}"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", "req", "-x509", *options, *files], cwd=folder, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    return context


@pytest.fixture(scope="module")
def secured(folder: Path, service: Service, tls: ssl.SSLContext) -> Iterator[dict[str, int]]:
    """All proxies with TLS, for one host, in front of an upstream that isn't there; their ports by name."""
    assert tls.verify_mode is ssl.CERT_REQUIRED
    named = shipped.all_ports()
    ports = {**dict(zip(named, free_ports(len(named)), strict=True)), 9000: service.check_port}
    with ExitStack() as stack:
        for name, put_tls_before in _PUT_TLS_BEFORE.items():
            home = folder / f"secured-{name}"
            home.mkdir()
            stack.enter_context(running(shipped.child(name, home, ports, partial(put_tls_before, folder))))
        yield {name: ports[shipped.PROXIES[name].ingress] for name in _PUT_TLS_BEFORE}


def _put_tls_before_envoy(certificates: Path, file: Path) -> None:
    configuration = yaml.safe_load(file.read_text())
    (chain,) = configuration["static_resources"]["listeners"][0]["filter_chains"]
    certificate = {
        "certificate_chain": {"filename": str(certificates / "cert.pem")},
        "private_key": {"filename": str(certificates / "key.pem")},
    }
    context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    chain["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": context, "common_tls_context": {"tls_certificates": [certificate]}},
    }
    (host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    host["domains"] = [HOST]
    file.write_text(yaml.safe_dump(configuration))


def _put_tls_before_nginx(certificates: Path, file: Path) -> None:
    names = f"ssl_certificate {certificates}/cert.pem; ssl_certificate_key {certificates}/key.pem;"
    before, listens, after = file.read_text().partition("listen 127.0.0.1:")
    port, _, rest = after.partition(";")
    file.write_text(f"{before}{listens}{port} ssl;{names}{rest}")


def _put_tls_before_traefik(certificates: Path, file: Path) -> None:
    dynamic = file.with_name("dynamic.yml")
    configuration = yaml.safe_load(dynamic.read_text())
    pair = {"certFile": f"{certificates}/cert.pem", "keyFile": f"{certificates}/key.pem"}
    configuration["tls"] = {"stores": {"default": {"defaultCertificate": pair}}}
    # Beside the other, by which it is seen that Traefik has its routes.
    routers = configuration["http"]["routers"]
    routers["api-tls"] = {**routers["api"], "tls": {}}
    dynamic.write_text(yaml.safe_dump(configuration))


def _put_tls_before_caddy(certificates: Path, file: Path) -> None:
    before, listens, after = file.read_text().partition("\nhttp://:")
    address, opens, rest = after.partition(" {\n")
    files = f"{certificates}/cert.pem {certificates}/key.pem"
    assert listens
    file.write_text(f"{before}\nhttps://:{address}{opens}\ttls {files}\n{rest}")


def _put_tls_before_haproxy(certificates: Path, file: Path) -> None:
    both = file.with_name("both.pem")
    both.write_text("".join((certificates / name).read_text() for name in ("cert.pem", "key.pem")))
    before, listens, after = file.read_text().partition("  bind 127.0.0.1:")
    port, _, rest = after.partition("\n")
    file.write_text(f"{before}{listens}{port} ssl crt {both}\n{rest}")


_PUT_TLS_BEFORE: Mapping[str, Callable[[Path, Path], None]] = {
    "envoy": _put_tls_before_envoy,
    "nginx": _put_tls_before_nginx,
    "traefik": _put_tls_before_traefik,
    "caddy": _put_tls_before_caddy,
    "haproxy": _put_tls_before_haproxy,
}


def _assert_secured(answer: Response, status: int) -> None:
    found = {name: answer.header(name.lower()) for name in _EXPECTED}
    assert (answer.status, found) == (status, _EXPECTED)


@pytest.mark.parametrize("name", _PUT_TLS_BEFORE)
def test_over_tls_every_answer_insists_on_it(
    secured: dict[str, int], tls: ssl.SSLContext, keys: Keys, name: str
) -> None:
    """A refusal of extauth, an upstream that isn't there, and extauth's doubt about a path."""
    with Connection(secured[name], tls=tls) as connection:
        _assert_secured(connection.request("/public/a"), 401)
        _assert_secured(connection.request("/any", headers=[("X-API-Key", keys.spent.text)]), 429)
        gone = connection.request("/public/a", headers=[("X-API-Key", keys.reader.text)])
        _assert_secured(gone, 503 if name in {"envoy", "haproxy"} else 502)
        _assert_secured(connection.request("/public/a;b"), 400)


def test_envoy_says_so_too_where_it_has_no_route(secured: dict[str, int], tls: ssl.SSLContext) -> None:
    """A host that no virtual host knows gets Envoy's own 404."""
    with Connection(secured["envoy"], tls=tls) as connection:
        connection.send_body(b"GET /open/a HTTP/1.1\r\nHost: unknown.example\r\n\r\n")
        _assert_secured(connection.receive(), 404)


@pytest.mark.parametrize("name", ["envoy", "nginx"])
def test_a_malformed_head_is_told_so_too(secured: dict[str, int], tls: ssl.SSLContext, name: str) -> None:
    """Also where the proxy got no further than the head."""
    with Connection(secured[name], tls=tls) as connection:
        connection.send_body(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        _assert_secured(connection.receive(), 400)
