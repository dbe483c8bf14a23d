"""What a dialect is: the way one proxy asks and is answered.

It turns the question into a `CheckRequest`, and a `Decision` into the answer that proxy understands.
Dialects translate, they never decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from extauth.model import CheckRequest, Decision


class RequestHead(NamedTuple):
    """An HTTP request as it arrived.

    Names in `headers` are lower case; repeated lines are joined by a comma (RFC 9110 section 5.3). `repeated`
    holds the names that came on more than one line, for those headers where a list makes no sense.
    """

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    repeated: Sequence[bytes] = ()


class Answer(NamedTuple):
    """An HTTP answer: `head` is the block of header lines, each ended by CR LF, without content-length."""

    status: int
    head: bytes
    body: bytes


# The values that change from one check of a proxy to the next, raw: the original target, the credential, the
# client's address, the request id, the trace context. Empty where the request has none.
Variable = Sequence[bytes]


class Dialect(Protocol):
    """One proxy's way to ask and to be answered.

    A raw target that begins with `prefix`, undecoded, is a check in this dialect. `target_place` is what
    stands before and after the original target in the bytes of a head, in lower case.
    """

    name: str
    prefix: bytes
    target_place: tuple[bytes, bytes]

    def parse(self, head: RequestHead) -> CheckRequest:
        """Read the original request.

        Reads only this dialect's own headers, because a client may send the others'.
        """
        ...

    def read_again(self, like: CheckRequest, values: Variable) -> CheckRequest | None:
        """Return what `parse` would for a head that differs from that of `like` in these values only.

        None where only `parse` can tell.
        """
        ...

    def render(self, request: CheckRequest, decision: Decision) -> Answer:
        """Put the decision in this proxy's terms."""
        ...
