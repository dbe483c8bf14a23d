"""The parts of an answer that all dialects share, put together from header lines and problem bodies."""

from __future__ import annotations

from collections.abc import Mapping

from extauth.bounded import BoundedCache, Memo
from extauth.completion.signals import LONGEST_LEASE
from extauth.dialects.base import Answer
from extauth.dialects.headers import NOBODY, HeaderWriter, ageing, identity
from extauth.dialects.problems import PROBLEMS, ProblemWriter
from extauth.model import Code, Decision, Identified, PlainUsage
from extauth.usage import word

_STATUSES = {code: kind.status for code, kind in PROBLEMS.items()}
_PREPARED = 1_024
# The usages that a 429 told of, and its head.
_LimitedHead = tuple[tuple[PlainUsage, ...], bytes]
_NONE_YET: _LimitedHead = ((), b"")


class AnswerWriter:
    """Writes what a decision says, whichever proxy asked. `security` are headers of all refusals."""

    def __init__(
        self, headers: HeaderWriter, problems: ProblemWriter, *, security: Mapping[str, str] | None = None
    ) -> None:
        self._security = "".join(f"{name.lower()}: {value}\r\n" for name, value in (security or {}).items())
        self._challenge = headers.challenge
        self._limits = headers.limits
        # A moment is not the same when the same refusal is repeated a little later.
        self._tells_moments = headers.epoch_reset
        self._problems = problems
        # By code and needed scopes: as many as there are codes, and routes with scopes.
        self._heads: Memo[tuple[Code, tuple[str, ...]], bytes] = Memo(self._denial_head, _PREPARED)
        self._words: Memo[tuple[Identified | None, str], bytes] = Memo(_word, _PREPARED)
        self._last_heads: BoundedCache[Identified | None, _LimitedHead] = BoundedCache(_PREPARED)

    def allowed(self, decision: Decision) -> bytes:
        """Return the header lines of an allowed answer.

        Identity for the upstream, limits for the client, the lease for the proxy, which reports its end.
        """
        whose = decision.whose
        head = NOBODY if whose is None else whose.identity or identity(whose)
        limit_set, usages = decision.limit_set, decision.usages
        if usages and limit_set is not None:
            head += self._limits(limit_set, usages)
        if decision.lease:
            lease, tail = decision.lease.encode("ascii"), self._words[whose, decision.route]
            # A lease that nobody reads would not be ended; whose request it was is only counted.
            told = lease + tail if len(lease) + len(tail) <= LONGEST_LEASE else lease
            head += b"x-extauth-lease: %b\r\n" % told
        return head + _degraded(decision) if decision.degraded else head

    def denied(self, decision: Decision, request_id: str) -> Answer:
        """Return the refusal with its true status.

        A client's limits stand on a 429 only, never on a failed authentication.
        """
        head = self._limited_head(decision) if decision.usages else self._refusal_head(decision)
        if decision.degraded:
            head += _degraded(decision)
        body = self._problems.body(decision, request_id)
        return tuple.__new__(Answer, (_STATUSES[decision.code], head, body))

    def _limited_head(self, decision: Decision) -> bytes:
        """Return the head of a 429: the one written last, where the same refusal is repeated."""
        usages, head = self._last_heads.get(decision.whose, _NONE_YET)
        if usages is not decision.usages:
            head = self._refusal_head(decision)
            if decision.limit_set is not None:
                head += self._limits(decision.limit_set, decision.usages) + ageing(decision.key)
            if not self._tells_moments:
                self._last_heads.keep(decision.whose, (decision.usages, head))
        return head

    def _refusal_head(self, decision: Decision) -> bytes:
        head = self._heads[decision.code, decision.needed_scopes]
        if decision.retry_after:
            head += b"retry-after: %d\r\n" % decision.retry_after
        return head

    def _denial_head(self, denial: tuple[Code, tuple[str, ...]]) -> bytes:
        challenge = self._challenge(*denial)
        line = f"www-authenticate: {challenge}\r\n" if challenge else ""
        fixed = f"content-type: application/problem+json\r\ncache-control: no-store\r\n{self._security}"
        return f"{fixed}{line}".encode("latin-1")


def _degraded(decision: Decision) -> bytes:
    """Tell what was decided without the store. It is for operators: proxies keep it from clients."""
    return f"x-extauth-degraded: {decision.degraded}\r\n".encode("ascii")


def _word(of: tuple[Identified | None, str]) -> bytes:
    whose, route = of
    return word.encode(None if whose is None else whose.key, route).encode("ascii")
