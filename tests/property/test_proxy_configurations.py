"""Looking through a configuration never fails, whatever stands where something else is expected."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extauth.proxies.checking.findings import KINDS, UnreadableError
from extauth.proxies.checking.looking import look_through
from extauth.proxies.facts import facts_of
from extauth.proxies.shipped import shipped_files
from extauth.settings.model import Settings
from tests.proxies.looked import IN_FLIGHT
from tests.proxies.varied import VARIANTS

_FACTS = facts_of(Settings.model_validate({**IN_FLIGHT, "credentials": {"query_parameter": True}}))
_ENVOY = yaml.safe_load(shipped_files("envoy")["envoy.yaml"])
_NGINX = VARIANTS["defaults"].printed("nginx").files["nginx.conf"].splitlines()
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


def _paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _paths(inner, (*path, position))


_PATHS = [path for path in _paths(_ENVOY) if path]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_PATHS), _VALUES), min_size=1, max_size=3))
def test_envoy_with_something_else_in_some_places(changes: list[tuple[tuple[Any, ...], object]]) -> None:
    """A list for a text, a number for a mapping, nothing at all: findings, or a file that can't be read."""
    configuration = copy.deepcopy(_ENVOY)
    for (*parents, last), value in changes:
        place = configuration
        try:
            for step in parents:
                place = place[step]
            place[last] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took the place away
    _look("envoy", json.dumps(configuration))


@settings(deadline=None)
@given(
    st.sets(st.integers(0, len(_NGINX) - 1), max_size=3),
    st.dictionaries(st.integers(0, len(_NGINX) - 1), st.text(max_size=20), max_size=2),
)
def test_nginx_with_lines_gone_or_others(gone: set[int], others: dict[int, str]) -> None:
    """Blocks that end elsewhere, directives without their arguments: the same."""
    lines = [others.get(number, line) for number, line in enumerate(_NGINX) if number not in gone]
    _look("nginx", "\n".join(lines))


def _look(proxy: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "configuration"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            found = look_through(proxy, path, _FACTS)
        except UnreadableError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 - either outcome is right
        else:
            assert all(finding.code in KINDS and finding.where.startswith(str(path)) for finding in found)
