"""Whatever a client sends, every dialect answers, never raises, and never lets anybody in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.dialects.base import RequestHead
from tests.checking import Rig
from tests.dialects import PROXIES
from tests.keys import mint

# What a header line can hold at all, once HTTP has been parsed: any byte but CR, LF and NUL.
_BYTES = st.binary(max_size=40).map(lambda value: value.translate(None, b"\r\n\0"))
_KEY = mint()[0].encode()
_VALUES = st.one_of(
    _BYTES,
    st.sampled_from(
        [
            b"",
            b"Bearer ",
            b"bearer",
            b"Basic dTpw",
            b",",
            b"Bearer a, Bearer b",
            b"*",
            b"200",
            b"\xff" * 30,
            b"a" * 9_000,
        ]
    ),
    st.sampled_from(
        [
            _KEY[:-1] + b"_",
            _KEY[:-1],
            _KEY + b"0",
            b"Bearer " + _KEY.swapcase(),
            _KEY.replace(b"xa", b"xb", 1),
        ]
    ),
    _BYTES.map(lambda value: b"Bearer " + value),
)
_NAMES = st.sampled_from(
    [
        b"authorization",
        b"x-api-key",
        b"host",
        b"x-request-id",
        b"x-extauth-client-ip",
        b"x-forwarded-for",
        b"cookie",
        b"x-original-method",
        b"x-original-uri",
        b"x-auth-user-id",
        b"x-extauth-status",
        b"x-extauth-body",
        b"forwarded",
    ]
)
_HEADERS = st.dictionaries(_NAMES, _VALUES, max_size=6)
_METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"get", b"CONNECT", b"", b"\xff"]) | _BYTES
_TARGETS = st.one_of(
    st.sampled_from(
        [b"/", b"/a", b"/a?api_key=x", b"//", b"/open/../a", b"", b"*", b"/?" + b"%ff=" * 50, b"/?api_key=%"]
    ),
    _BYTES.map(lambda path: b"/" + path),
    _BYTES.map(lambda query: b"/a?api_key=" + query),
)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Give a checker that asks for a key everywhere, also in the query."""
    made = Rig(credentials={"query_parameter": True})
    yield made
    made.hasher.close()


_REPEATED = st.frozensets(_NAMES, max_size=3)


@pytest.mark.parametrize("name", list(PROXIES))
@given(request=st.tuples(_METHODS, _TARGETS, _HEADERS), repeated=_REPEATED)
def test_nobody_gets_in(
    rig: Rig, name: str, request: tuple[bytes, bytes, dict[bytes, bytes]], repeated: frozenset[bytes]
) -> None:
    """Without a key that was issued here there is a well-formed refusal, on one log line, and no fault."""
    rig.lines.taken.clear()
    head = PROXIES[name].ask(*request)._replace(repeated=tuple(repeated))
    reply = PROXIES[name].told(asyncio.run(rig.answer(head)))
    assert reply.status in {400, 401}
    assert reply.problem["status"] == reply.status
    assert reply.body.isascii()
    rig.recorder.flush()
    (line,) = rig.lines.taken
    assert line.count(b"\n") == 1
    assert json.loads(line)["code"] == reply.code
    assert rig.counts.faults["check"] == 0
    assert rig.hasher.verifications == 0


@given(target=st.binary(max_size=30), headers=_HEADERS)
def test_what_is_no_check_is_not_found(rig: Rig, target: bytes, headers: dict[bytes, bytes]) -> None:
    """The prefix is compared on the raw target: escapes, case and dot segments lead to no dialect."""
    for raw in (
        target,
        b"/%65nvoy/" + target,
        b"/ENVOY/" + target,
        b"/./nginx",
        b"//nginx",
        b"http://h/envoy/" + target,
    ):
        if not raw.startswith((b"/envoy", b"/nginx", b"/forward")):
            answer = asyncio.run(rig.answer(RequestHead(b"GET", raw, headers)))
            assert answer.status == 404
