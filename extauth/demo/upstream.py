"""The sample API behind the proxies: it answers with what it received, to show what an upstream learns.

Run as `python -m extauth.demo.upstream PORT [HOST]`, by default on 127.0.0.1. It decides nothing: whatever
arrives was allowed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauth.demo.ports import Ports
from extauth.demo.processes import Program, accepts
from extauth.keys.token import mask_keys

_IDENTITY = ("X-Auth-User-Id", "X-Auth-Key-Id", "X-Auth-Scopes", "X-Auth-Tier")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Longer than the proxies keep an idle connection to it (Envoy an hour, nginx a minute), so that neither ever
# sends a request into a connection that is just being closed.
_KEEP_ALIVE_SECONDS = 7_200


def upstream_program(*, directory: Path, ports: Ports) -> Program:
    """Return the sample API as one of the demo's programs."""
    return Program(
        name="The sample upstream",
        command=(sys.executable, "-m", "extauth.demo.upstream", str(ports.upstream)),
        folder=directory,
        log=directory / "upstream.log",
        is_ready=lambda: accepts(ports.upstream),
    )


def sample_api() -> Starlette:
    """Return the API: `/v1/status/<code>` answers with that status, everything else with 200."""
    return Starlette(
        routes=[
            Route("/v1/status/{status:int}", _answer, methods=_METHODS),
            Route("/{path:path}", _answer, methods=_METHODS),
        ]
    )


async def _answer(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    received = [f"{name}: {value}" for name, value in request.headers.items()]
    report = {
        "message": "This is the sample upstream, and this is all it received.",
        "request": f"{request.method} {request.url.path}",
        "identity": {name: request.headers.get(name, "") for name in _IDENTITY},
        "api_key_received": any(mask_keys(line) != line for line in received),
        # Masked all the same: should a key ever get here, it needn't go further.
        "headers": [mask_keys(line) for line in received],
        "body_bytes": size,
    }
    body = json.dumps(report, indent=2) + "\n"
    return Response(body, status_code=request.path_params.get("status", 200), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        sample_api(),
        host=sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1",  # noqa: PLR2004 - the port, and then the host
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
