"""The spans that pages offer, as they are asked for."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path

import extauth.dashboard
from extauth.usage.question import By, UsageQuestion, span_of
from tests.fakes import START

_JS = Path(extauth.dashboard.__file__).parent / "static" / "js"
_SPAN = re.compile(r'\["\w+", "[^"]+", ([0-9_* ]+), "(1[mhd])"\]')


def test_no_page_asks_for_more_usage_than_an_answer_may_have() -> None:
    """Each span fits with the series that pages get without naming a limit, and none names one."""
    spans = _SPAN.findall((_JS / "parts" / "spans.js").read_text())
    assert len(spans) == 4
    for product, step in spans:
        seconds = math.prod(int(factor) for factor in product.split("*"))
        question = UsageQuestion(since=START - timedelta(seconds=seconds), until=START, step=step, by=By.KEY)
        assert span_of(question, START).points
    asked = [
        line for file in _JS.rglob("*.js") for line in file.read_text().splitlines() if ".range()" in line
    ]
    assert asked
    assert not [line for line in asked if "limit" in line]
