"""No log line ever holds a secret, wherever in a request a key is put."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from extauth.model import Code, Decision
from tests.checking import Rig, request_for
from tests.dialects import PROXIES
from tests.keys import mint, traces_of
from tests.logs import logging_to

_NAMES = (
    b"authorization",
    b"x-api-key",
    b"cookie",
    b"x-request-id",
    b"referer",
    b"x-original-url",
    b"user-agent",
)
_AROUND = st.binary(max_size=8).map(lambda value: value.translate(None, b"\r\n\0"))


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Give a checker that logs all it can."""
    made = Rig(
        routes=[{"path": "/open/**", "auth": "none"}],
        credentials={"query_parameter": True},
        log={"level": "debug"},
    )
    with logging_to(made.lines, level="debug"):
        yield made
    made.hasher.close()


def logged(rig: Rig, name: str, target: bytes, headers: Mapping[bytes, bytes], method: bytes = b"GET") -> str:
    """Ask, and return all that was logged, escapes undone where they could hide something."""
    rig.lines.taken.clear()
    asyncio.run(rig.answer(PROXIES[name].ask(method, target, {b"host": b"h", **headers})))
    rig.recorder.flush()
    assert rig.lines.taken
    return b"".join(rig.lines.taken).decode()


@pytest.mark.parametrize("name", list(PROXIES))
@given(
    places=st.dictionaries(st.sampled_from(_NAMES), st.tuples(_AROUND, _AROUND), max_size=4),
    path=st.tuples(
        _AROUND, st.sampled_from([b"/", b"/open/", b"/a?api_key=", b"/open/?x=", b"/%5f"]), _AROUND
    ),
    issued=st.booleans(),
)
def test_a_key_in_path_query_header_or_id(
    rig: Rig,
    name: str,
    places: dict[bytes, tuple[bytes, bytes]],
    path: tuple[bytes, bytes, bytes],
    issued: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """Valid or not, alone or with something around it: its secret stays out."""
    text = asyncio.run(rig.issue())[0] if issued else mint()[0]
    key = text.encode()
    headers = {field: before + key + after for field, (before, after) in places.items()}
    before, middle, after = path
    for target in (middle + key + after, middle + before + key, b"/" + key):
        lines = logged(rig, name, target, headers)
        assert traces_of(text[-51:], lines) == []


@pytest.mark.parametrize("name", list(PROXIES))
@pytest.mark.parametrize("field", [b"host", b"x-extauth-client-ip", b"x-forwarded-for", b"x-original-method"])
def test_a_key_where_no_key_belongs(rig: Rig, name: str, field: bytes) -> None:
    """A client that mixes up its headers, behind a proxy that lets it, doesn't write its key into the log."""
    text = mint()[0]
    assert traces_of(text[-51:], logged(rig, name, b"/x", {field: text.encode()})) == []


def test_a_key_as_the_method(rig: Rig) -> None:
    """Whatever stands in the request line is masked."""
    text = mint()[0]
    assert traces_of(text[-51:], logged(rig, "envoy", b"/x", {}, method=text.encode())) == []


def test_a_key_in_a_reason(rig: Rig) -> None:
    """A store's message may repeat what it was asked for."""
    rig.lines.taken.clear()
    text = mint()[0]
    rig.recorder.record(request_for(), Decision(Code.STORE_UNAVAILABLE, reason=f"no row for {text}"), 0)
    rig.recorder.flush()
    assert traces_of(text[-51:], b"".join(rig.lines.taken).decode()) == []


def test_a_key_in_a_fault(rig: Rig) -> None:
    """A traceback may repeat what was worked on."""
    rig.lines.taken.clear()
    text = mint()[0]
    try:
        raise KeyError(text.encode())  # noqa: TRY301 - a traceback is what this is about
    except KeyError as error:
        rig.recorder.fault(request_for(request_id=f"id {text}"), error)
    assert traces_of(text[-51:], b"".join(rig.lines.taken).decode()) == []


LOGGED_VALUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "text": lambda key: {"message": f"refused {key}"},
    "bytes": lambda key: {"message": f"refused {key}".encode()},
    "list": lambda key: {"messages": ["refused", key]},
    "mapping": lambda key: {"headers": {"x-api-key": key}},
    "exception": lambda key: {"error": ValueError(key)},
    "secret name": lambda _: {"authorization": "Basic dXNlcjpwYXNzd29yZA=="},
    "secret name, bytes": lambda _: {"pepper": b"dXNlcjpwYXNzd29yZA=="},
    "secret name, list": lambda _: {"peppers": ["dXNlcjpwYXNzd29yZA=="]},
    "secret name within": lambda _: {"settings": {"password": "dXNlcjpwYXNzd29yZA=="}},
}


@pytest.mark.parametrize("kind", list(LOGGED_VALUES))
def test_what_other_parts_log_is_masked_too(rig: Rig, kind: str) -> None:
    """Keys in any value, and whatever stands under a name that tells of a secret."""
    rig.lines.taken.clear()
    text = mint()[0]
    structlog.get_logger("x").info("event", **LOGGED_VALUES[kind](text))
    lines = b"".join(rig.lines.taken).decode()
    assert '"event":"event"' in lines
    assert traces_of(text[-51:], lines) == []
    assert "dXNlcjpwYXNzd29yZA" not in lines
