"""docs/configuration.md is complete: each field of the model with its default and variable, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from extauth.settings.load import load_settings
from extauth.settings.reference import Reference
from extauth.settings.schema import settings_schema

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SCHEMA = settings_schema()


REFERENCE = Reference(SCHEMA)
FIELDS = REFERENCE.fields


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


def test_the_page_ends_with_what_the_command_prints() -> None:
    """No field is added, changed or taken away without its row: `make reference` brings it up to date."""
    assert PAGE.split("## All fields", 1)[1].split("-->\n\n", 1)[1] == REFERENCE.markdown()


def test_a_row_says_everything_about_a_field() -> None:
    """Word for word, so that no cell is made of the wrong part of the schema."""
    rows = REFERENCE.markdown().splitlines()
    assert (
        "| `log.level` | `debug` \\| `info` \\| `warning` \\| `error` | `info` | `EXTAUTH_LOG__LEVEL` "
        "| The least level that is logged. |"
    ) in rows
    assert (
        "| `failure.share` | number, above 0, at most 1 | `0.25` | `EXTAUTH_FAILURE__SHARE` "
        f"| {FIELDS['failure.share']['description']} |"
    ) in rows
    kinds = {row.split(" | ")[0]: row.split(" | ")[1:4] for row in rows if row.startswith("| `")}
    assert kinds["| `routes[].path`"] == ["template", "required", "in `EXTAUTH_ROUTES`"]
    assert kinds["| `tiers.NAME.quota`"] == ["quota", "`null`", "`EXTAUTH_TIERS__NAME__QUOTA`"]
    assert kinds["| `limits.rates`"] == ["list of rates", "`[]`", "`EXTAUTH_LIMITS__RATES`"]
    assert kinds["| `keys.cache.records`"][0] == "whole number, 1 or more"


@pytest.mark.parametrize("path", [path for path in FIELDS if "[" not in path and "NAME" not in path])
def test_each_default_can_be_given_in_its_variable(path: str) -> None:
    """As the reference writes both: a name or a value that nobody reads is a mistake of the load."""
    (row,) = [line for line in REFERENCE.markdown().splitlines() if line.startswith(f"| `{path}` |")]
    default, variable = (cell.strip("`") for cell in re.split(r"(?<!\\) \| ", row)[2:4])
    value = {"null": "", "[]": ""}.get(default, default)
    load_settings(None, {variable: value})


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
