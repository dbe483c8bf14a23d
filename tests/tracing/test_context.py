"""`traceparent` is read as W3C Trace Context has it, and nothing that a client sends is a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.tracing.context import TraceContext, read_context
from tests.tracing.collector import NOT_SAMPLED, SAMPLED, SPAN_ID, TRACE_ID

_READ = TraceContext(bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID), is_sampled=True)


def _id_of(length: int) -> st.SearchStrategy[bytes]:
    """Give ids, none of which is all zeros."""
    return st.binary(min_size=length, max_size=length).filter(any)


def test_the_example_of_the_standard_is_read() -> None:
    """With and without its flag."""
    assert read_context(SAMPLED.encode()) == _READ
    assert read_context(NOT_SAMPLED.encode()) == _READ._replace(is_sampled=False)


@pytest.mark.parametrize("later", ["cc-{}-{}-01", "01-{}-{}-01-what-comes-later", "fe-{}-{}-03-"])
def test_later_versions_are_read_by_what_is_known(later: str) -> None:
    """Section 3.2.4: more may stand behind the flags."""
    assert read_context(later.format(TRACE_ID, SPAN_ID).encode()) == _READ


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"01-{TRACE_ID}-{SPAN_ID}-01more",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01",
        f"{SAMPLED},{SAMPLED}",
        f" {SAMPLED}",
        f"{SAMPLED}\n",
    ],
)
def test_what_is_none_is_as_good_as_no_header(header: str) -> None:
    """Two of them are none, too."""
    assert read_context(header.encode()) is None


@given(_id_of(16), _id_of(8), st.integers(0, 255))
def test_each_context_is_read_as_it_was_written(trace_id: bytes, span_id: bytes, flags: int) -> None:
    """Only the lowest flag means something here."""
    header = f"00-{trace_id.hex()}-{span_id.hex()}-{flags:02x}".encode()
    assert read_context(header) == TraceContext(trace_id, span_id, is_sampled=flags % 2 == 1)


@given(st.binary(max_size=80))
def test_no_bytes_are_a_fault(header: bytes) -> None:
    """They are a context or none."""
    read_context(header)
