"""Loading a file: every mistake at once, with its line, in plain words, and never with a secret in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from extauth.errors import ConfigError
from extauth.settings.load import config_file, load_from_environment, load_settings
from extauth.settings.model import Settings

PEPPER = "correct-horse-battery-staple-0123456789"


def problems_of(path: Path, text: str | bytes) -> list[str]:
    """Load the text as a file and give the mistakes, each beginning with its line."""
    file = path / "extauth.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert all("\n" not in problem for problem in caught.value.problems)
    return [problem.replace(f"{file}:", "").replace(f"{path}/", "") for problem in caught.value.problems]


def load(path: Path, text: str) -> Settings:
    """Load the text as a file."""
    file = path / "extauth.yaml"
    file.write_text(text)
    return load_settings(file, {})


MISTAKES = """\
listen:
  idle_timeout: 75
  max_connections: 0
store: {url: "mysql://user:hunter2@db/0"}
keys:
  prefix: 5
  pepers: []
  default_tier: gold
  hashing: {workers: abc, queue: 3, queue: 4}
routes:
  - path: /a//b
    scope: [orders:read]
  - {path: /b, auth: none,
     scopes: [orders:read]}
  - path: /c
    scopes:
      - orders:read
      - order read
  - {auth: sometimes}
tiers:
  free: {rates: [10/sec]}
  pro: {rates: 10/second}
  Big: {}
credentials: none of them
sore: {}
"""
EXPECTED = [
    "2: listen.idle_timeout: '75' has no unit: write 75s for seconds (units: ms, s, m, h, d)",
    "3: listen.max_connections: must be at least 1, not 0",
    (
        "4: store.url: 'mysql' is not a store that this version understands: "
        "sqlite, redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster"
    ),
    "6: keys.prefix: must be text, not 5: write it in quotes",
    "7: keys.pepers: unknown field; did you mean 'peppers'?",
    "9: keys.hashing.queue: given twice, first in line 9",
    "9: keys.hashing.workers: must be a whole number, not 'abc'",
    "11: routes[0].path: '/a//b' has an empty segment ('//'), which some servers merge away",
    "12: routes[0].scope: unknown field; did you mean 'scopes'?",
    (
        "13: routes[1].auth: 'none' lets requests without a key pass, "
        "so the scopes of this route would protect nothing"
    ),
    "18: routes[2].scopes[1]: 'order read' is not a scope such as orders:read, orders:* or *",
    "19: routes[3].path: is needed and has no default",
    "19: routes[3].auth: must be 'required', 'optional' or 'none', not 'sometimes'",
    (
        "21: tiers.free.rates[0]: 'sec' is not a period: "
        "write second, minute, hour, day, week, month or one such as 10s"
    ),
    "22: tiers.pro.rates: must be a list such as [a, b], not text",
    "23: tiers.Big: 'Big' must be 1 to 32 lower-case letters, digits, '_' and '-', a letter first",
    "24: credentials: must be a section of fields",
    "25: sore: unknown field; did you mean 'store'?",
]


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    """An operator corrects a file once, not once for each mistake."""
    assert problems_of(tmp_path, MISTAKES) == EXPECTED


def test_mistakes_of_several_fields_point_at_the_one_to_change(tmp_path: Path) -> None:
    """A default tier that isn't listed is that field's mistake, a method that can't pass is its route's."""
    assert problems_of(
        tmp_path, "keys:\n  default_tier: gold\nroutes:\n  - path: /a\n    methods: [GETT]\n"
    ) == [
        "2: keys.default_tier: 'gold' is not among 'tiers' (default)",
        "5: routes[0].methods: 'GETT' is not among 'proxy.methods', so it could never match",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "1: must hold a mapping, such as 'default_route: deny'"),
        ("# nothing\njust text", "2: must hold a mapping, such as 'default_route: deny'"),
        ("a: 1\nb: '", "2: not valid YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("a: b: c", "1: not valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: \x01", "2: not valid YAML: it holds a control character"),
        (b"a: 1\nb: \xff", "2: not UTF-8"),
        ("a: &a [x]\nb: *a", "2: YAML aliases (*name) are not taken: write the value out, or quote it"),
        ("a: " + "[" * 9000, "1: nested more than 16 levels deep"),
        ("? [a]\n: b", "1: a field's name must be text"),
        ("log: !x y", "1: log: YAML tags (!name) are not taken: quote a value that begins with '!'"),
        ('headers: {"a\\nb": 1}', "1: headers.(no name): unknown field; known here: reset, security"),
    ],
)  # fmt: skip
def test_what_is_no_document_of_ours_is_refused(tmp_path: Path, text: str | bytes, expected: str) -> None:
    """Syntax, encoding and YAML's hazards are named with their line."""
    assert expected in problems_of(tmp_path, text)


def test_a_file_that_is_missing_or_a_directory_is_refused(tmp_path: Path) -> None:
    """A path with a mistake in it must not silently mean the defaults."""
    for path, why in [(tmp_path / "nope.yaml", "No such file or directory"), (tmp_path, "Is a directory")]:
        with pytest.raises(ConfigError) as caught:
            load_settings(path, {})
        assert caught.value.problems == [f"{path}: can't be read: {why}"]


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "log:\nkeys:\n  cache:\ntiers:\n", "\ufefflog:\n"]
)
def test_nothing_set_means_the_defaults(tmp_path: Path, text: str) -> None:
    """A section whose lines are all commented out is no mistake."""
    assert load(tmp_path, text) == Settings()


def test_a_tier_with_nothing_under_it_exists(tmp_path: Path) -> None:
    """A listed tier never disappears: keys may be in it."""
    assert load(tmp_path, "tiers:\n  free:\n").tiers["free"].rates == ()


def test_yaml_surprises_stay_text(tmp_path: Path) -> None:
    """YAML 1.1 reads `on` as true, 12:30 as 750 and 2026-01-01 as a date; here they are what was written."""
    loaded = load(tmp_path, "tiers: {on: {rates: [1/second]}}\ncredentials: {realm: 12:30}\n")
    assert "on" in loaded.tiers
    assert loaded.credentials.realm == "12:30"
    assert load(tmp_path, "credentials: {realm: 2026-01-01}\n").credentials.realm == "2026-01-01"


def test_a_peppers_file_must_exist(tmp_path: Path) -> None:
    """Starting without the pepper would refuse every key, so it is a mistake of the configuration."""
    missing = tmp_path / "peppers"
    assert problems_of(tmp_path, f"keys:\n  peppers_file: {missing}\n") == [
        "2: keys.peppers_file: 'peppers' is no file: put it there, or name the one that is meant"
    ]
    missing.write_text(PEPPER)
    assert load(tmp_path, f"keys:\n  peppers_file: {missing}\n").keys.peppers_file == missing


def test_a_file_that_can_be_nowhere_is_named(tmp_path: Path) -> None:
    """What the system won't even look for is a mistake as well, and no traceback."""
    for name in ("x" * 300, "peppers/below"):
        (tmp_path / "peppers").write_text(PEPPER)
        (problem,) = problems_of(tmp_path, f"keys:\n  peppers_file: {tmp_path / name}\n")
        assert problem.startswith("2: keys.peppers_file: ")
        assert "is no file" in problem


def test_a_file_that_this_user_may_not_read_is_told(tmp_path: Path) -> None:
    """With what to do; also one in a folder that this user can't enter, where nobody knows what is there."""
    (tmp_path / "locked").mkdir(0)
    (tmp_path / "token").touch(0)
    tmp_path.chmod(0o755)
    # Whoever runs the tests may be somebody to whom all files are open.
    program = (
        "import os, pathlib; from extauth.settings.files import problem_of; os.geteuid() or os.setuid(65534);"
        "print(problem_of(pathlib.Path('token')), problem_of(pathlib.Path('locked/token')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "'token' can't be read" in done.stdout
    assert "'locked/token' is in a folder that can't be entered" in done.stdout
    assert done.stdout.count("let the user who runs extauth read it") == 2


SECRET_FILES = [
    "keys: {{peppers: {secret}}}",
    "keys: {{peppers: [{secret}, x]}}",
    "keys: {{peppers: [{secret}: x, {{{secret}: 1, {secret}: 2}}]}}",
    "keys: {{peppers: {{{secret}: x}}}}",
    "keys: {{pepers: [{secret}]}}",
    "throttle: {{token: [{secret}]}}",
    "throttle: {{token: '{secret} '}}",
    "keys: {{prefix: X, peppers: ['{secret}']}}",
    "keys: {secret}",
    "keys: {{peppers:{secret}}}",
    "keys: {{peppers:'{secret}'}}",
    "keys: {{{secret}{secret}{secret}}}",
    "keys:\n  peppers:{secret}",
    "keys:\n  peppers:{secret}\n  prefix: x",
    "keys: [{secret}]",
    "keys:\n  peppers:\n  - !{secret}\n  - x",
    "keys:\n  peppers:\n  - !a!{secret} x",
    "keys:\n  peppers:\n  - !{secret}!a x",
    "keys:\n  peppers:\n  - *{secret}\n",
    "keys:\n  peppers:\n  - &{secret} &{secret}\n",
    "keys:\n  peppers: |{secret}\n",
    'keys:\n  peppers:\n  - "{secret}\n',
    "keys:\n  peppers:\n  - '{secret}' {secret}\n",
    "store: {{url: 'redis://user:{secret}@host/nought'}}",
    "store: {{url: '{secret}'}}",
    "docs_url: https://user:{secret}@example.com",
]


@pytest.mark.parametrize("template", SECRET_FILES)
def test_no_message_repeats_a_secret(tmp_path: Path, template: str) -> None:
    """Mistakes end up in logs and tickets; what was written where a secret belongs must not."""
    for secret in ("hunter2hunter2", PEPPER.replace("-", "")):
        problems = "\n".join(problems_of(tmp_path, template.format(secret=secret)))
        assert secret not in problems


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=80) | st.text(alphabet="ab:{}[]&*!|>-'\"#%@`, \n1", max_size=40))
def test_arbitrary_files_raise_nothing_else(tmp_path: Path, text: str) -> None:
    """Whatever a file holds, the loader names mistakes; it never fails in another way."""
    file = tmp_path / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_settings(file, {})
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - a few texts are valid, so nothing has to be raised
        assert "\n" not in "".join(error.problems)  # noqa: PT017 - as above


def test_the_option_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--config` is nearer to the hand than EXTAUTH_CONFIG, and an empty variable names no file."""
    monkeypatch.setenv("EXTAUTH_CONFIG", "/variable.yaml")
    assert config_file(Path("/option.yaml")) == Path("/option.yaml")
    assert config_file(None) == Path("/variable.yaml")
    monkeypatch.setenv("EXTAUTH_CONFIG", "")
    assert config_file(None) is None


def test_the_process_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container sets `EXTAUTH_CONFIG` and single fields, and nothing else."""
    file = tmp_path / "extauth.yaml"
    file.write_text("default_route: deny\nlog: {level: debug}\n")
    for name in [name for name in os.environ if name.upper().startswith("EXTAUTH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EXTAUTH_CONFIG", str(file))
    monkeypatch.setenv("EXTAUTH_LOG__LEVEL", "error")
    loaded = load_from_environment(None)
    assert (loaded.default_route, loaded.log.level) == ("deny", "error")
