"""The peer: what a Python user would make of FastAPI and slowapi, used as they are documented.

It does less than extauth: one rate, no scope, no route table, no limit headers, no log line, no metric.
"""

from __future__ import annotations

import hashlib
import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded

# The benchmark sets this: the SHA-256 of the one key that there is, in hexadecimal.
_USERS = {os.environ["BENCHMARK_KEY_SHA256"]: "benchmark"}
_NEVER_REACHED = "1000000/second"


def key_digest(request: Request) -> str:
    """Return the digest of the bearer key, by which keys are looked up and counted."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    return hashlib.sha256(key.encode()).hexdigest()


async def user_of(request: Request) -> str:
    """Return whose key it is, or refuse."""
    user = _USERS.get(key_digest(request))
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


limiter = Limiter(key_func=key_digest, storage_uri="memory://")
app = FastAPI()
app.state.limiter = limiter
# Starlette types handlers as if each had to take all exceptions.
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]


@app.get("/envoy/{path:path}")
@limiter.limit(_NEVER_REACHED)
async def check(request: Request, user: Annotated[str, Depends(user_of)]) -> Response:  # noqa: ARG001 - slowapi demands `request`
    """Answer one check."""
    return Response(headers={"X-Auth-User-Id": user})
