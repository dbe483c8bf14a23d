"""Pages for consumers may be published without a check, as docs/consumers.md says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_publishing import SNIPPETS, insert
from tests.proxies.looked import found, written

_, LOCATION, ROUTE, CLUSTER = SNIPPETS
ADDITIONS = {
    "nginx": [("location / {", LOCATION)],
    "envoy": [('- match: { prefix: "/" }', ROUTE), ("- name: upstream", CLUSTER)],
}


@pytest.mark.parametrize("proxy", ADDITIONS)
@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("9001", "8082"), ("/docs/;", "/;"), ("{ prefix: /docs/ }", "{ prefix: /docs }")],
)
def test_only_the_pages_need_no_check(tmp_path: Path, proxy: str, old: str, new: str) -> None:
    """Led elsewhere, or by a prefix that is something else's too, the same snippet is a hole."""
    path = written(proxy, tmp_path)
    text = "".join(snippet for _, snippet in ADDITIONS[proxy])
    for before, snippet in ADDITIONS[proxy]:
        insert(path, before=before, snippet=snippet.replace(old, new), admin_port=9001)
    changed = old in text and old != ""
    assert [finding.code for finding in found(proxy, path)] == (["check-disabled"] if changed else [])
