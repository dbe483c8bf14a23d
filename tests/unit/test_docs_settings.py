"""docs/configuration.md is complete: each field of the model with its default and variable, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauth.settings.load import load_settings
from extauth.settings.schema import settings_schema

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SCHEMA = settings_schema()


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference within the schema."""
    name = node.get("$ref", "").removeprefix("#/$defs/")
    return SCHEMA["$defs"][name] if name else node


def fields_of(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk all fields with the paths that the page uses: `routes[].path`, `tiers.NAME.rates`."""
    for name, field in node["properties"].items():
        path = f"{prefix}{name}"
        inner = resolved(field)
        if "properties" in inner:
            yield from fields_of(inner, f"{path}.")
            continue
        yield path, field
        for section in map(resolved, field.get("anyOf", ())):
            # A section that may be left out; a rate's mapping stands in a form of its own.
            if "properties" in section:
                yield from fields_of(section, f"{path}.")
        for key, step in (("items", "[]."), ("additionalProperties", ".NAME.")):
            below = resolved(inner.get(key) or {})
            if "properties" in below:
                yield from fields_of(below, f"{path}{step}")


def default_of(field: dict[str, Any]) -> str:
    """Write a default as the page does."""
    if "default" not in field:
        return "required"
    if isinstance(field["default"], str):
        return f"`{field['default']}`"
    text = yaml.safe_dump(field["default"], default_flow_style=True, width=1000)
    # PyYAML ends a document that is a single plain value with three dots.
    return f"`{text.replace('...', '').strip()}`"


FIELDS = dict(fields_of(SCHEMA))


def test_the_walk_reaches_all_depths() -> None:
    """The tests below would pass with nothing to look at."""
    assert {
        "docs_url",
        "store.url",
        "keys.cache.verified",
        "routes[].scopes",
        "tiers.NAME.rates",
        "tiers.NAME.quota",
        "tiers.NAME.cool_down.violations",
        "tiers.NAME.concurrency.max",
        "routes[].concurrency.wait",
        "failure.share",
    } <= FIELDS.keys()


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_has_a_row_with_default_and_variable(path: str) -> None:
    """A field that is added or changes its default without its documentation fails here."""
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{path}` |")]
    assert len(rows) == 1
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[0])[1:-1]]
    variable = "in `EXTAUTH_ROUTES`" if "[]" in path else f"`EXTAUTH_{path.upper().replace('.', '__')}`"
    assert cells[2:4] == [default_of(FIELDS[path]), variable]
    assert cells[4]


def test_the_page_names_no_field_that_does_not_exist() -> None:
    """A field that went away must not stay documented."""
    sections = PAGE.split("## All fields", 1)[1]
    assert set(re.findall(r"^\| `([^`]+)` \|", sections, re.MULTILINE)) == FIELDS.keys()


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_is_described(path: str) -> None:
    """The schema, too, says what every field means."""
    assert FIELDS[path]["description"].endswith(".")


def test_the_example_loads(tmp_path: Path) -> None:
    """What a reader copies first works."""
    example = re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert example is not None
    file = tmp_path / "extauth.yaml"
    file.write_text(example[1])
    loaded = load_settings(file, {})
    assert set(yaml.safe_load(example[1])) == set(SCHEMA["properties"]) - {"credentials", "proxy"}
    assert loaded.default_route == "deny"


THROTTLING = (Path(__file__).parents[2] / "docs" / "throttling.md").read_text(encoding="utf-8")
IN_FLIGHT = [
    text
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE + THROTTLING, re.MULTILINE | re.DOTALL)
    if "concurrency:" in text
]


@pytest.mark.parametrize("text", IN_FLIGHT)
def test_examples_of_requests_in_flight_load(tmp_path: Path, text: str) -> None:
    """A reader copies these, too."""
    file = tmp_path / "extauth.yaml"
    file.write_text(text)
    loaded = load_settings(file, {})
    assert any(tier.concurrency is not None for tier in loaded.tiers.values())
