"""`extauth usage`: what a server has counted in the embedded store, for people and for programs."""

from __future__ import annotations

from extauth.cli.usage import sparkline
from tests.shell import Shell


def test_usage_is_shown_as_a_table_and_as_json(shell: Shell) -> None:
    """By key unless asked otherwise, after the server has ended too."""
    made = shell.create("ada")
    assert shell.ask(made["key"], made["key"], "nonsense") == [200, 200, 401]
    done = shell.run("usage")
    title, line, other = done.out.splitlines()
    assert title.split()[:6] == ["KEY", "REQUESTS", "ALLOWED", "LIMITED", "THROTTLED", "REFUSED"]
    assert line.split()[:6] == [made["key_id"], "2", "2", "0", "0", "0"]
    assert line.rstrip().endswith("█")
    assert other.split()[:6] == ["-", "1", "0", "0", "0", "1"]
    told = shell.run("usage", "--key-id", made["key_id"], "--by", "route", "--since", "1h", "--json").json
    assert (told["step"], told["by"], len(told["series"])) == ("1m", "route", 1)
    assert told["series"][0]["total"]["allowed"] == 2


def test_before_anybody_counted_there_is_nothing(shell: Shell) -> None:
    """And no file is made: it would belong to whoever looked."""
    shell.create("ada")
    assert shell.run("usage").out == "Nothing was counted in that time.\n"
    assert [series["group"] for series in shell.run("usage", "--by", "none", "--json").json["series"]] == [""]
    assert list((shell.folder / "data").glob("*-usage*")) == []


def test_what_can_t_be_told_is_refused(shell: Shell) -> None:
    """At the option that is to blame."""
    done = shell.run("usage", "--since", "1h", "--until", "2h")
    assert (done.code, done.err) == (1, "extauth: --until: must be later than from\n")
    assert "--step: is too fine" in shell.run("usage", "--since", "60d", "--step", "1m").err
    assert "--limit: must be at most 10: " in shell.run("usage", "--since", "60d", "--step", "1h").err


def test_a_sparkline_fits_its_place() -> None:
    """A bar for each number, relative to the highest; many are added up; nothing is a blank."""
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([1] * 80) == "█" * 40
    assert sparkline([0, 10_000, 1]) == " █▁"
    assert sparkline([]) == ""
