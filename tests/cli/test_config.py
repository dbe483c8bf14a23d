"""`extauth config`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from extauth.cli.config import config_group
from extauth.settings.load import load_settings

PEPPER = "correct-horse-battery-staple-0123456789"
FILE = f"""\
listen: {{check: "unix:/run/extauth/check.sock", idle_timeout: 5m}}
keys: {{peppers: [{PEPPER}]}}
routes: [{{path: /v1/**, scopes: ["orders:*"]}}]
tiers: {{pro: {{rates: [5/10s burst 7, {{rate: 100/day, name: fair-use}}]}}}}
"""


@click.group()
@click.option("--config", type=click.Path(path_type=Path))
@click.pass_context
def root(context: click.Context, config: Path | None) -> None:
    """Stand in for the root of the command line."""
    context.obj = {"config": config}


root.add_command(config_group)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the path of a valid file."""
    path = tmp_path / "extauth.yaml"
    path.write_text(FILE)
    return path


def run(*arguments: str | Path, **environ: str) -> Result:
    """Run without the variables of whoever runs the tests."""
    return CliRunner().invoke(
        root, [str(argument) for argument in arguments], env={"EXTAUTH_CONFIG": None, **environ}
    )


def test_check_says_that_a_file_is_fine(file: Path) -> None:
    """Exit code 0 and one line, for people and for pipelines."""
    result = run("--config", file, "config", "check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{file}: fine\n", "")


def test_check_works_without_a_file() -> None:
    """No file at all is valid."""
    result = run("config", "check")
    assert (result.exit_code, result.stdout) == (0, "defaults and environment: fine\n")


def test_check_takes_the_file_of_the_environment(file: Path) -> None:
    """`EXTAUTH_CONFIG` names the file where no option does."""
    assert run("config", "check", EXTAUTH_CONFIG=str(file)).stdout == f"{file}: fine\n"


def test_check_prints_all_mistakes_on_stderr(file: Path) -> None:
    """Each mistake on a line of its own, nothing on stdout, exit code 1."""
    file.write_text("store: {url: x}\nsore: 1\n")
    result = run("--config", file, "config", "check", EXTAUTH_LOG__LEVEL="loud")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        (
            f"{file}:1: store.url: must be a URL such as sqlite:///extauth-data/extauth.db "
            "or redis://localhost:6379"
        ),
        f"{file}:2: sore: unknown field; did you mean 'store'?",
        "environment EXTAUTH_LOG__LEVEL: must be 'debug', 'info', 'warning' or 'error', not 'loud'",
    ]


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_missing_file_is_exit_code_one(tmp_path: Path, command: str) -> None:
    """A path with a mistake in it is told, not ignored."""
    result = run("--config", tmp_path / "nope.yaml", "config", command)
    assert result.exit_code == 1
    assert result.stderr.endswith("nope.yaml: can't be read: No such file or directory\n")


def test_show_prints_what_is_in_force_in_text_form(file: Path) -> None:
    """Defaults and environment included; durations, addresses and rates as an operator writes them."""
    shown: dict[str, Any] = yaml.safe_load(
        run("--config", file, "config", "show", EXTAUTH_LOG__LEVEL="error").stdout
    )
    assert shown["listen"]["check"] == "unix:/run/extauth/check.sock"
    assert shown["listen"]["idle_timeout"] == "5m"
    assert shown["listen"]["admin"] == "127.0.0.1:9001"
    assert shown["log"]["level"] == "error"
    assert shown["tiers"]["pro"]["rates"] == ["5/10s burst 7", {"rate": "100/day", "name": "fair-use"}]


def test_show_json_is_the_same_for_programs(file: Path) -> None:
    """Both forms hold the same values."""
    as_yaml = run("--config", file, "config", "show").stdout
    as_json = run("--config", file, "config", "show", "--json").stdout
    assert json.loads(as_json) == yaml.safe_load(as_yaml)


@pytest.mark.parametrize("arguments", [["show"], ["show", "--json"], ["check"], ["schema"]])
def test_no_output_holds_a_secret(file: Path, arguments: list[str]) -> None:
    """A secret in force is shown as asterisks only, and hidden from the schema too."""
    result = run("--config", file, "config", *arguments, EXTAUTH_KEYS__PEPPERS=f"{PEPPER}2")
    assert result.exit_code == 0
    assert PEPPER not in result.output
    assert ("********" in result.stdout) == (arguments[0] == "show")


def test_what_show_prints_can_be_loaded(tmp_path: Path, file: Path) -> None:
    """The output is a configuration file with the same meaning, once there is no secret in it."""
    file.write_text(FILE.replace(f"keys: {{peppers: [{PEPPER}]}}", ""))
    again = tmp_path / "again.yaml"
    again.write_text(run("--config", file, "config", "show").stdout)
    assert load_settings(again, {}) == load_settings(file, {})


def test_schema_describes_what_an_operator_writes() -> None:
    """Editors complete and check by it: text forms in defaults, closed objects, a rate as text or named."""
    schema = json.loads(run("config", "schema").stdout)
    listen = schema["$defs"]["ListenSettings"]
    assert listen["additionalProperties"] is False
    assert listen["properties"]["check"]["default"] == "127.0.0.1:9000"
    assert listen["properties"]["idle_timeout"]["default"] == "75s"
    assert [form["type"] for form in schema["$defs"]["RateSettings"]["anyOf"]] == ["string", "object"]
