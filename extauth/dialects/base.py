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


class Dialect(Protocol):
    """One proxy's way to ask and to be answered.

    A raw target that begins with `prefix`, undecoded, is a check in this dialect.
    """

    name: str
    prefix: bytes

    def parse(self, head: RequestHead) -> CheckRequest:
        """Read the original request.

        Reads only this dialect's own headers, because a client may send the others'.
        """
        ...

    def render(self, request: CheckRequest, decision: Decision) -> Answer:
        """Put the decision in this proxy's terms."""
        ...
