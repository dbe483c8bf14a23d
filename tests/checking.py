"""A checker on stores that tests hold in their hands, without settings files, sockets or tasks."""

from __future__ import annotations

from typing import Any

from extauth import compiled
from extauth.abuse.monitor import AbuseMonitor
from extauth.callers import Caller, plans_without_key
from extauth.check import Checker
from extauth.compiled import route_table
from extauth.dialects.base import Answer, RequestHead
from extauth.failure import FailureModes, FailurePolicy
from extauth.keys.directory import CacheSizes, KeyDirectory
from extauth.keys.hashing import SecretHasher
from extauth.keys.presented import TextReader
from extauth.keys.records import KeyRecords
from extauth.model import ApiKey, CheckRequest, Code, Decision, Target
from extauth.server.responder import Responder
from extauth.settings.model import Settings
from extauth.stores.limits import LimitStore
from extauth.stores.memory import MemoryLimitStore
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder
from extauth.throttle.embedded import EmbeddedLeases
from tests.dialects import PROXIES
from tests.fakes import FakeClock, MemoryKeyStore
from tests.keys import CHEAP, PEPPERS, entry, mint, record_for
from tests.logs import ListedLines


class Rig:
    """A checker for some settings, with one thread for argon2 and one place to wait for it."""

    def __init__(self, *, limits: LimitStore | None = None, **sections: Any) -> None:
        self.settings = Settings.model_validate(sections)
        self.clock = FakeClock()
        self.store = MemoryKeyStore()
        self.hasher = SecretHasher(CHEAP, workers=1, queue=1)
        self.routes = route_table(self.settings)
        planner = compiled.planner(self.settings)
        self.records: KeyRecords[Caller] = KeyRecords(self.store, lambda key: Caller(key, planner), size=100)
        self.abuse = AbuseMonitor(self.settings.abuse.to_rules())
        self.keys: KeyDirectory[Caller] = KeyDirectory(
            records=self.records,
            reader=TextReader(PEPPERS),
            hasher=self.hasher,
            clock=self.clock,
            sizes=CacheSizes(),
            guard=self.abuse,
        )
        self.limits = limits or MemoryLimitStore()
        embedded = self.limits if isinstance(self.limits, MemoryLimitStore) else MemoryLimitStore()
        self.leases = EmbeddedLeases(embedded, self.clock)
        self.checker = Checker(
            routes=self.routes,
            keys=self.keys,
            limits=self.limits,
            plans=plans_without_key(planner),
            clock=self.clock,
            failure=FailurePolicy(FailureModes()),
            leases=self.leases,
            queue=self.leases,
            abuse=self.abuse,
        )
        self.counts = CheckCounts(PROXIES)
        self.lines = ListedLines()
        self.recorder = Recorder(counts=self.counts, lines=self.lines, clock=self.clock)
        self.dialects = compiled.dialects(self.settings, self.clock)
        self.responder = Responder(
            checker=self.checker,
            dialects=self.dialects,
            recorder=self.recorder,
            clock=self.clock,
            max_checks=self.settings.throttle.max_checks,
        )

    async def answer(self, head: RequestHead) -> Answer:
        """Answer a request's head as the server does."""
        answer = self.responder.respond(head)
        return answer if isinstance(answer, Answer) else await self.responder.finish(answer)

    async def issue(self, **changes: Any) -> tuple[str, ApiKey]:
        """Put a new key in the store; return its text and its record."""
        text, parts = mint()
        hashed = await self.hasher.hash(parts.secret)
        key = record_for(text, parts, **{"hashed_key": hashed, **changes})
        await self.store.add(key, entry())
        return text, key

    async def decide(self, request: CheckRequest) -> Decision:
        """Decide as the server does: at once where that is possible."""
        decision = self.checker.decide(request, self.clock.now_us())
        if decision is None:
            decision = await self.checker.decide_later(request, self.checker.claim(request))
        assert isinstance(decision, Decision)  # no store is shared here
        return decision

    async def ask(self, path: str = "/", **asked: Any) -> Decision:
        """Decide about a request put together by `request_for`."""
        return await self.decide(request_for(path, **asked))


def request_for(
    path: str = "/",
    *,
    key: str | None = None,
    method: str = "GET",
    host: str = "api.example.com",
    ambiguous: Code | None = None,
    request_id: str = "r-1",
    client_ip: str = "192.0.2.7",
) -> CheckRequest:
    """Return the request that a dialect would have read."""
    credential = None if key is None else key.encode("latin-1")
    places = () if key is None else ("x-api-key",)
    target = Target(method, host, path)
    return CheckRequest("envoy", target, credential, places, client_ip, request_id, ambiguous)
