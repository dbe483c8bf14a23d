"""What becomes of checks of those who are banned, and of those who fail to authenticate."""

from __future__ import annotations

from extauth.abuse.monitor import AbuseMonitor, kind_of, seconds_left
from extauth.callers import Caller
from extauth.decisions import refused
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.model import CheckRequest, Code, Decision
from extauth.routes import Route
from extauth.stores.bans import Ban, Origin

# Looking a member up in its enumeration costs more than comparing it.
_COOLING_DOWN = Code.COOLING_DOWN
_INVALID_KEY = Code.INVALID_KEY
_MANUAL = Origin.MANUAL


class BanDecisions:
    """Decides by bans, and tells the monitor who fails; `in_force` is empty where nobody is banned."""

    def __init__(self, monitor: AbuseMonitor, keys: KeyDirectory[Caller]) -> None:
        self._monitor = monitor
        self._keys = keys
        self.in_force = monitor.in_force

    def of_address(
        self, request: CheckRequest, route: Route, caller: Caller | Rejection | None, now_us: int
    ) -> Decision | None:
        """Refuse a banned address; None for all others, and for who holds a key that is good or may be."""
        ban = self._monitor.of_address(request.client_ip, now_us)
        if ban is None:
            return None
        if ban.origin is _MANUAL:
            return self._banned(ban, route, now_us)
        # Others may have failed at the same address: who holds a good key is not to suffer for them.
        if self._is_good(request, caller, now_us):
            return None
        text = request.credential
        if caller is None and text is not None and (key_id := self._keys.issued_id(text, now_us)):
            wait = self._monitor.wait_to_look(ban, key_id, now_us)
            return self._refused(ban, route, wait, key_id) if wait else None
        return self._banned(ban, route, now_us)

    def _is_good(self, request: CheckRequest, caller: Caller | Rejection | None, now_us: int) -> bool:
        if isinstance(caller, Caller):
            return not caller.refusal(now_us)
        return request.credential is not None and self._keys.is_good(request.credential, now_us)

    def of_key(self, caller: Caller, route: Route, now_us: int) -> Decision | None:
        """Refuse a key that an operator banned, or its user; None for all others."""
        ban = self._monitor.of_key(caller.key, now_us)
        return None if ban is None else self._banned(ban, route, now_us, caller.key.key_id)

    def _banned(self, ban: Ban, route: Route, now_us: int, key_id: str = "") -> Decision:
        return self._refused(ban, route, seconds_left(ban, now_us), key_id)

    def _refused(self, ban: Ban, route: Route, wait: int, key_id: str) -> Decision:
        self._monitor.refusals[kind_of(ban)] += 1
        return Decision(_COOLING_DOWN, None, key_id, route.name, retry_after=wait, reason="banned")

    def of_rejection(
        self, rejection: Rejection, request: CheckRequest, route: Route, now_us: int
    ) -> Decision:
        """Refuse a text that is no key, or that nobody looks at for a while."""
        reason, key_id, wait = rejection
        if wait:
            self._monitor.refusals["key"] += 1
            return Decision(_COOLING_DOWN, None, key_id, route.name, retry_after=wait, reason=reason)
        self._monitor.failed(request.client_ip, reason, now_us)
        return Decision(_INVALID_KEY, presented_id=key_id, route=route.name, reason=reason)

    def of_unusable(self, caller: Caller, request: CheckRequest, route: Route, now_us: int) -> Decision:
        """Refuse a key that may not be used now."""
        decision = refused(caller, route, now_us)
        if decision.code is _INVALID_KEY:
            self._monitor.failed(request.client_ip, decision.reason, now_us)
        return decision
