"""Who is measured: the contenders, what each must answer, how their servers start. It measures nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cores import Cores
from benchmarks.load import CheckRequest, check_request, check_request_of_each, probe
from benchmarks.many import ManyKeys
from benchmarks.redis_server import RedisServer, start_redis
from benchmarks.rival import RIVALS, start_rival
from benchmarks.servers import Server, start_uvicorn
from benchmarks.service import DecisionLog, Keys, Service

FLOOR = "floor"
TITLES = {
    FLOOR: "bare ASGI function on uvicorn",
    "allowed": "extauth, warm check allowed",
    "leased": "extauth, allowed, with a lease",
    "uncounted": "extauth, allowed, no usage",
    "fresh": "extauth, allowed, path not seen before",
    "limited": "extauth, rate limit spent",
    "unknown": "extauth, forged key",
    "peer": "FastAPI with slowapi",
    "redis-allowed": "extauth on Redis, allowed",
    "redis-leased": "extauth on Redis, allowed, with a lease",
    "redis-limited": "extauth on Redis, rate limit spent",
    "redis-keys": "extauth on Redis, many keys in turn",
    "rival": "nginx with lua-resty-redis",
    "rival-by-hand": "nginx with Lua, Redis asked by hand",
    "redis-uncounted": "extauth on Redis, many keys, no usage",
    "redis-single": "extauth on Redis, one caller alone",
}
# The status that each must answer, and for extauth the code that its decision lines must hold.
_EXTAUTH_ANSWERS = {
    "allowed": (200, "allowed"),
    "leased": (200, "allowed"),
    "fresh": (200, "allowed"),
    "limited": (429, "rate_limited"),
    "unknown": (401, "invalid_key"),
}
_REDIS_ANSWERS = {
    "redis-allowed": (200, "allowed"),
    "redis-leased": (200, "allowed"),
    "redis-limited": (429, "rate_limited"),
    "redis-keys": (200, "allowed"),
    "redis-single": (200, "allowed"),
}
# Whose limits are in Redis.
ON_REDIS = frozenset((*_REDIS_ANSWERS, "redis-uncounted", *RIVALS))
MEMORY = "redis-memory"
# Those whose server is another one, which counts no usage.
_UNCOUNTED = "uncounted"
_REDIS_UNCOUNTED = "redis-uncounted"
_NO_USAGE = {"usage": {"enabled": False}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server and the checks that it is asked; `log` and `code` where it writes decision lines.

    `keys` instead of `key` where each check carries the next one; `redis` is the Redis that it asks.
    """

    name: str
    server: Server
    status: int
    key: str = field(repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)
    log: DecisionLog | None = None
    code: str = ""
    redis: Server | None = None

    def request(self) -> CheckRequest:
        """Return the check with this contender's key, under request ids that were never used before."""
        if self.keys:
            return check_request_of_each(self.keys)
        return check_request(self.key, fresh_path=self.name == "fresh")


def start_embedded(
    stack: ExitStack, wanted: Collection[str], *, service: Service, keys: Keys, core: int, folder: Path
) -> list[Contender]:
    """Start the floor and those with limits in memory, in the order of a round; the stack stops them.

    Raises:
        ServerError: One of them did not start.
    """
    server = start_uvicorn("benchmarks.floor:app", core=core, folder=folder)
    stack.callback(server.stop)
    contenders = [Contender(name=FLOOR, server=server, status=200, key=keys.allowed)]
    if any(name in wanted for name in _EXTAUTH_ANSWERS):
        server = service.serve(core=core)
        stack.callback(server.stop)
        contenders += [one for one in _of_extauth(server, service.log, keys) if one.name in wanted]
    if _UNCOUNTED in wanted:
        contenders.append(_uncounted(stack, core=core, folder=folder / _UNCOUNTED))
    if "peer" in wanted:
        digest = hashlib.sha256(keys.allowed.encode()).hexdigest()
        environment = {"BENCHMARK_KEY_SHA256": digest}
        server = start_uvicorn("benchmarks.peer:app", core=core, folder=folder, environment=environment)
        stack.callback(server.stop)
        contenders.append(Contender(name="peer", server=server, status=200, key=keys.allowed))
    return contenders


def start_on_redis(
    stack: ExitStack, wanted: AbstractSet[str], *, many: ManyKeys, cores: Cores, folder: Path
) -> tuple[list[Contender], float | None]:
    """Start Redis on the core of the load, and those with limits in it; the stack stops them.

    Where many keys are wanted each is checked once. Then it also returns the bytes that each takes in Redis
    for its limits, else None.

    Raises:
        ServerError: One of them did not start.
    """
    folder = folder / "redis"
    folder.mkdir()
    redis = start_redis(core=cores.load, folder=folder)
    stack.callback(redis.server.stop)
    service = many.service(folder, redis)
    keys = service.create_keys()
    contenders, bytes_each = [], None
    if wanted & {*_REDIS_ANSWERS, _REDIS_UNCOUNTED, MEMORY}:
        many.put_in(redis)
    if wanted & {_REDIS_UNCOUNTED, MEMORY}:
        # Before usage is counted: what is asked is what limits take.
        uncounted, bytes_each = _uncounted_on_redis(stack, many, redis, core=cores.server, folder=folder)
        contenders.append(uncounted)
    if wanted & _REDIS_ANSWERS.keys():
        server = service.serve(core=cores.server)
        stack.callback(server.stop)
        contenders += _on_redis(server, service.log, keys, many, redis)
        if "redis-keys" in wanted:
            many.ask_once(server.port)
    for name in RIVALS:
        if name in wanted:
            server = start_rival(name, redis, key=keys.allowed, core=cores.server, folder=folder)
            stack.callback(server.stop)
            contenders.append(
                Contender(name=name, server=server, status=200, key=keys.allowed, redis=redis.server)
            )
    return [one for one in contenders if one.name in wanted], bytes_each


def _of_extauth(server: Server, log: DecisionLog, keys: Keys) -> list[Contender]:
    """All of them ask one and the same process: a decision must not be cheaper because others never come."""
    key_of = {"leased": keys.leased, "limited": keys.spent, "unknown": keys.forged}
    return [
        Contender(
            name=name, server=server, status=status, key=key_of.get(name, keys.allowed), log=log, code=code
        )
        for name, (status, code) in _EXTAUTH_ANSWERS.items()
    ]


def _uncounted(stack: ExitStack, *, core: int, folder: Path) -> Contender:
    folder.mkdir()
    service = Service(folder, changes=_NO_USAGE)
    key = service.create_keys().allowed
    server = service.serve(core=core)
    stack.callback(server.stop)
    return Contender(name=_UNCOUNTED, server=server, status=200, key=key, log=service.log, code="allowed")


def _uncounted_on_redis(
    stack: ExitStack, many: ManyKeys, redis: RedisServer, *, core: int, folder: Path
) -> tuple[Contender, float]:
    folder = folder / _UNCOUNTED
    folder.mkdir()
    service = many.service(folder, redis, changes=_NO_USAGE)
    server = service.serve(core=core)
    stack.callback(server.stop)
    contender = Contender(
        name=_REDIS_UNCOUNTED,
        server=server,
        status=200,
        key=many.texts[0],
        keys=many.texts,
        log=service.log,
        code="allowed",
        redis=redis.server,
    )
    return contender, _bytes_each(contender, many, redis)


def _on_redis(
    server: Server, log: DecisionLog, keys: Keys, many: ManyKeys, redis: RedisServer
) -> list[Contender]:
    key_of = {"redis-leased": keys.leased, "redis-limited": keys.spent}
    return [
        Contender(
            name=name,
            server=server,
            status=status,
            key=key_of.get(name, keys.allowed),
            keys=many.texts if name == "redis-keys" else (),
            log=log,
            code=code,
            redis=redis.server,
        )
        for name, (status, code) in _REDIS_ANSWERS.items()
    ]


def _bytes_each(contender: Contender, many: ManyKeys, redis: RedisServer) -> float:
    """Have each key checked once, and return what memory Redis took for that."""
    # The first of all checks has Redis learn the script.
    probe(contender.server.port, contender.request())
    before = redis.used_bytes()
    many.ask_once(contender.server.port)
    return (redis.used_bytes() - before) / len(many.texts)
