"""One line and one count for every decision.

Built by hand, because a general logger costs more than the decision itself. The line holds these fields and
no others, so it can't hold a secret: no header, no query, and whatever looks like a key in a path or an id is
masked.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter

import orjson
import structlog

from extauth.bounded import Memo
from extauth.clock import MICROSECONDS, Clock
from extauth.keys.shadows import ShadowTracker
from extauth.keys.token import mask_keys
from extauth.keys.uses import UseTracker
from extauth.lasting import lasting
from extauth.model import OUTCOMES, CheckRequest, Code, Decision, Identified, Outcome, Target
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import DURATION_BOUNDS_US, CheckCounts
from extauth.tracing.context import read_context
from extauth.usage.tracker import UsageTracker

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LONGEST_PATH = 2_048
LONGEST_ADDRESS = 45  # characters, of an IPv6 address with an IPv4 one in it
_REMEMBERED = 16_384
_LINE = b'%b.%06dZ",%b,%b,"route":%b,%b,"client_ip":%b,"request_id":%b,"duration_us":%d%b}\n'
_dumps = orjson.dumps

# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED

_LEVEL_OF_OUTCOME = {
    Outcome.ALLOWED: "info",
    Outcome.AMBIGUOUS: "warning",
    Outcome.UNAUTHENTICATED: "warning",
    Outcome.FORBIDDEN: "info",
    Outcome.LIMITED: "info",
    Outcome.UNAVAILABLE: "error",
}


class Recorder:
    """Counts and logs decisions.

    `allowed_sample` is the share of allowed decisions that get a line; all others always do.
    """

    def __init__(
        self,
        *,
        counts: CheckCounts,
        lines: LineWriter,
        clock: Clock,
        level: str = "info",
        allowed_sample: float = 1.0,
        draw: Callable[[], float] = random.random,
        uses: UseTracker | None = None,
        shadows: ShadowTracker | None = None,
        usage: UsageTracker | None = None,
    ) -> None:
        self._counts = counts
        self._write_lines = lines.write_several
        self._now_us = clock.now_us
        self._draw = draw
        self._uses = uses
        self._shadows = shadows
        self.usage = usage
        self._log = structlog.get_logger("extauth.check")
        # The second of the decisions before, in microseconds, and how its lines begin.
        self._second_us = -MICROSECONDS
        self._second_start = b""
        self._routes: Memo[str, bytes] = Memo(_dumps, _REMEMBERED)
        self._addresses: Memo[str, bytes] = Memo(_address, _REMEMBERED, worth_keeping=_is_address)
        self._targets: Memo[Target, bytes] = Memo(
            _target_fields, _REMEMBERED, worth_keeping=attrgetter("short")
        )
        self._whys: Memo[_Why, bytes] = Memo(_why, _REMEMBERED)
        self._noted: list[tuple[CheckRequest, Decision, int, int]] = []
        self.log_from(level, allowed_sample=allowed_sample)

    def log_from(self, level: str, *, allowed_sample: float) -> None:
        """Write lines from this level on, and of allowed decisions this share."""
        self._samples = allowed_sample < 1.0
        self._allowed_sample = allowed_sample
        threshold, dialects = LEVELS[level], self._counts.by_dialect.items()
        self._dialects = {dialect: (own, _starts(dialect, threshold)) for dialect, own in dialects}

    def record(
        self, request: CheckRequest, decision: Decision, started_us: int, decided_us: int | None = None
    ) -> None:
        """Note a decision, by default as one of now.

        It is counted and logged by the next `flush`, once its answer is on the way.
        """
        self._noted.append((request, decision, started_us, decided_us or self._now_us()))

    def flush(self) -> None:
        """Count the decisions noted so far and write their lines.

        Called when answers were written, and before metrics are read.
        """
        noted, self._noted = self._noted, []
        if self.usage is not None:
            self.usage.see(noted)
        lines, uses, rest = list[bytes](), self._uses, self._rest
        targets, routes, addresses = self._targets, self._routes, self._addresses
        for request, decision, started_us, decided_us in noted:
            dialect, target, _, _, client_ip, request_id, _, trace = request
            code, whose, presented, route, _, _, _, _, _, _, shadowed, degraded, _ = decision
            counts, starts = self._dialects[dialect]
            if not 0 <= decided_us - self._second_us < MICROSECONDS:
                self._begin_second(decided_us // MICROSECONDS)
            duration_us = decided_us - started_us if decided_us > started_us else 0
            counts.decisions[code] += 1
            counts.durations[bisect_left(DURATION_BOUNDS_US, duration_us)] += 1
            counts.duration_sum_us += duration_us
            if shadowed or degraded:
                self._count_rare(decision, decided_us)
            if uses is not None and whose is not None:
                # The same number for all of a second: nothing of each check is left behind in memory.
                whose.used_us = self._second_us
                if whose.noted_by is not uses.noting:
                    uses.see(whose, self._second_us, client_ip)
            start = starts[code]
            if start is None or (self._samples and code is _ALLOWED and self._draw() >= self._allowed_sample):
                continue
            fields = (
                self._second_start,
                decided_us - self._second_us,
                start,
                targets[target],
                routes[route],
                _nobody(presented) if whose is None else whose.line or _user_fields(whose),
                addresses[client_ip],
                _masked(request_id),
                duration_us,
                b"" if code is _ALLOWED and not (shadowed or degraded or trace) else rest(decision, trace),
            )
            lines.append(_LINE % fields)
        self._write_lines(lines)

    def _rest(self, decision: Decision, trace: bytes) -> bytes:
        """Return the members that few lines have."""
        why = self._whys[decision.reason, decision.violated, decision.shadowed, decision.degraded]
        return why + _trace_field(trace) if trace else why

    def _count_rare(self, decision: Decision, decided_us: int) -> None:
        shadowed, degraded = decision.shadowed, decision.degraded
        for name in shadowed:
            self._counts.count_shadowed(name)
        if degraded:
            # What a server's share of a limit would have refused says nothing about the limit.
            self._counts.degraded[degraded] += 1
        elif self._shadows is not None:
            self._shadows.see(shadowed, decision.key_id, decision.route, decided_us)

    def _begin_second(self, second: int) -> None:
        self._second_us = second * MICROSECONDS
        self._second_start = (
            datetime.fromtimestamp(second, UTC).strftime('{"timestamp":"%Y-%m-%dT%H:%M:%S').encode()
        )

    def fault(self, request: CheckRequest, fault: BaseException) -> None:
        """Count a fault that nobody foresaw and log it whole under the request's id."""
        self._counts.faults["check"] += 1
        self._log.error(
            "fault", request_id=mask_keys(request.request_id), dialect=request.dialect, exc_info=fault
        )


def _trace_field(trace: bytes) -> bytes:
    context = read_context(trace)
    return b"" if context is None else b',"trace_id":"%b"' % context.trace_id.hex().encode()


def _masked(text: str) -> bytes:
    return _dumps(mask_keys(text))


def _address(text: str) -> bytes:
    return lasting(_masked(text))


def _is_address(text: str) -> bool:
    return len(text) <= LONGEST_ADDRESS


def _target_fields(target: Target) -> bytes:
    method, host, path = (_masked(text[:LONGEST_PATH]) for text in (target.method, target.host, target.path))
    return b'"method":%b,"host":%b,"path":%b' % (method, host, path)


def _nobody(presented_id: str) -> bytes:
    return _fields(key_id=presented_id, user_id="")


def _user_fields(whose: Identified) -> bytes:
    whose.line = _fields(key_id=whose.key_id, user_id=whose.key.user_id)
    return whose.line


# The reason, the limits that refused, those in shadow that would have, and what was decided without the
# store.
_Why = tuple[str, tuple[str, ...], tuple[str, ...], str]


def _why(why: _Why) -> bytes:
    reason, violated, shadowed, degraded = why
    fields: dict[str, object] = {"reason": mask_keys(reason)} if reason else {}
    if violated:
        fields["violated"] = violated
    if shadowed:
        fields["shadowed"] = shadowed
    if degraded:
        fields["degraded"] = degraded
    return b"," + _fields(**fields) if fields else b""


def _fields(**fields: object) -> bytes:
    """Return JSON members without the braces around them."""
    return _dumps(fields)[1:-1]


def _level(code: Code) -> str:
    return _LEVEL_OF_OUTCOME[OUTCOMES[code]]


def _starts(dialect: str, threshold: int) -> dict[Code, bytes | None]:
    """Return how the lines of each code begin; None for those below the level: nothing is built for them."""
    return {code: _start(dialect, code) if LEVELS[_level(code)] >= threshold else None for code in Code}


def _start(dialect: str, code: Code) -> bytes:
    return _fields(
        level=_level(code), event="decision", outcome=OUTCOMES[code].value, code=code.value, dialect=dialect
    )
