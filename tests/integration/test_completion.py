"""What real proxies report: each request once, with its id, and a lease only where there was one."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

from extauth.completion.datagrams import DatagramReader
from extauth.completion.signals import Signal
from extauth.completion.sources import Sources
from tests.unit.completion.talking import Talk, talking
from tests.waiting import eventually

from . import shipped
from .processes import Child, accepts, free_ports

_REQUESTS = 40
_TYPES = "type.googleapis.com/envoy.extensions"
_LOOPBACK = Sources([ipaddress.ip_network("127.0.0.0/8")])

_ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          access_log:
          - name: envoy.access_loggers.open_telemetry
            typed_config:
              "@type": {types}.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig
              http_service:
                http_uri: {{ uri: "http://extauth/v1/logs", cluster: completion, timeout: 1s }}
                request_headers_to_add: [{{ header: {{ key: authorization, value: "Bearer sesame" }} }}]
              buffer_size_bytes: 0
              disable_builtin_labels: true
              attributes:
                values:
                - {{ key: rid, value: {{ string_value: "%STREAM_ID%" }} }}
                - {{ key: lease, value: {{ string_value: "%RESP(x-lease)%" }} }}
                - {{ key: type, value: {{ string_value: "%ACCESS_LOG_TYPE%" }} }}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              response_headers_to_add: [{{ header: {{ key: x-id, value: "%STREAM_ID%" }} }}]
              routes:
              - match: {{ prefix: /leased }}
                direct_response: {{ status: 200 }}
                response_headers_to_add: [{{ header: {{ key: x-lease, value: L1 }} }}]
              - {{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": {types}.filters.http.router.v3.Router }}
  clusters:
  - name: completion
    load_assignment:
      cluster_name: completion
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {completion} }} }} }}
"""

_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  log_format extauth 'rid=$request_id lease=$sent_http_x_lease st=$status';
  server {{
    listen 127.0.0.1:{port};
    access_log syslog:server=127.0.0.1:{completion},tag=extauth,nohostname extauth;
    add_header x-id $request_id;
    location /leased {{ add_header x-id $request_id; add_header x-lease L1; return 200; }}
    location / {{ return 200; }}
  }}
}}
"""


def envoy(folder: Path, port: int, completion: int) -> Child:
    """Return an Envoy that answers by itself, and reports."""
    (folder / "envoy.yaml").write_text(_ENVOY.format(port=port, completion=completion, types=_TYPES))
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    command = [shipped.envoy_program(), "-c", "envoy.yaml", *options]
    return Child(command, log=folder / "envoy.log", folder=folder, ready=lambda: accepts(port))


def nginx(folder: Path, port: int, completion: int) -> Child:
    """Return an nginx that answers by itself, and reports."""
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, completion=completion))
    command = [shipped.nginx_program(), "-p", str(folder), "-c", str(file), "-e", "stderr"]
    return Child(command, log=folder / "nginx.log", folder=folder, ready=lambda: accepts(port))


def ask(port: int, path: str) -> Sequence[str]:
    """Ask on one connection again and again; return the ids that the proxy gave the requests."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    ids = []
    for _ in range(_REQUESTS):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        ids.append(answer.headers["x-id"])
    connection.close()
    return ids


async def reported(talk: Talk, child: Child, port: int) -> None:
    """Start a proxy, ask it, and look at what it reports."""
    await asyncio.to_thread(child.start)
    try:
        expected = []
        for path, lease in (("/x", ""), ("/leased", "L1")):
            ids = await asyncio.to_thread(ask, port, path)
            expected += [Signal(request_id, lease, progress=False) for request_id in ids]
        assert len(set(expected)) == 2 * _REQUESTS
        await eventually(lambda: len(talk.taken) == 2 * _REQUESTS)
        assert sorted(talk.taken) == sorted(expected)
        assert (talk.counters.unreadable, talk.counters.ignored, talk.counters.foreign) == (0, 0, 0)
    finally:
        await asyncio.to_thread(child.stop)


def test_envoy_reports_each_request(tmp_path: Path) -> None:
    """In OTLP with a token; what it sends is soon familiar, which is half the speed of reading it."""

    async def scenario() -> None:
        (port,) = free_ports(1)
        async with talking() as talk:
            await reported(talk, envoy(tmp_path, port, int(talk.address[1])), port)
            assert talk.counters.otlp == 2 * _REQUESTS
            assert any(protocol._familiar is not None for protocol in talk.protocols)
            assert talk.intake.inbox._otlp.parsed < _REQUESTS

    asyncio.run(scenario())


def test_nginx_reports_each_request(tmp_path: Path) -> None:
    """By datagrams, in the line that its configuration says."""

    async def scenario() -> None:
        (port,) = free_ports(1)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        talk = Talk()
        reader = DatagramReader(receiver, talk.taken, _LOOPBACK, talk.counters)
        await reported(talk, nginx(tmp_path, port, receiver.getsockname()[1]), port)
        assert talk.counters.lines == 2 * _REQUESTS
        reader.close()

    asyncio.run(scenario())
