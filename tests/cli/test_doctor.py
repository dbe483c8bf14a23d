"""`extauth doctor`: a line for each finding, and an exit code that scripts can go by."""

from __future__ import annotations

import json
import re

from tests.shell import Shell

_EXAMINED = ("store", "durability", "pepper", "service", "system", "security")
_ELSE = ("configuration", "secrets", "signals")
_LINE = re.compile(rf"(ok  |warn|bad ) ({'|'.join((*_EXAMINED, *_ELSE))}) +\S.*\.")
_FREE = {"check": "127.0.0.1:1", "admin": "127.0.0.1:2", "completion": "127.0.0.1:3", "max_connections": 50}


def test_nothing_bad_is_exit_code_0(shell: Shell) -> None:
    """Each line begins with how bad it is and what was examined."""
    shell.configure(listen=_FREE)
    (shell.folder / "extauth.yaml").chmod(0o600)
    shell.create()
    done = shell.run("doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert all(_LINE.fullmatch(line) for line in lines), lines
    assert {line[5:].split()[0] for line in lines} == set(_EXAMINED)


def test_something_bad_is_exit_code_1(shell: Shell) -> None:
    """For programs too, which read which it is and what to do about it."""
    shell.configure(listen=_FREE)
    shell.create()
    (shell.folder / "data" / "extauth.db").chmod(0o666)
    assert shell.run("doctor").code == 1
    done = shell.run("doctor", "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert told["healthy"] is False
    (bad,) = [one for one in told["findings"] if one["level"] == "bad"]
    assert bad["examination"] == "store"
    assert bad["mend"] == "chmod 600 data/extauth.db"


def test_a_configuration_with_mistakes_is_bad_by_itself(shell: Shell) -> None:
    """Each mistake is a finding, in JSON too."""
    (shell.folder / "extauth.yaml").write_text("workers: 0\nlisten: {check: nowhere}\n")
    done = shell.run("doctor", "--json")
    assert done.code == 1
    findings = json.loads(done.out)["findings"]
    assert [one["examination"] for one in findings] == ["configuration", "configuration"]


def test_no_secret_is_told(shell: Shell) -> None:
    """Neither the password in the URL of a Redis nor a pepper."""
    pepper = "a pepper that nobody may ever see in an output"
    shell.configure(
        listen=_FREE, store={"url": "redis://user:hunter2@127.0.0.1:1/0"}, keys={"peppers": [pepper]}
    )
    for arguments in (("doctor",), ("doctor", "--json")):
        done = shell.run(*arguments)
        assert done.code == 1
        assert "127.0.0.1:1" in done.out
        for secret in ("hunter2", pepper):
            assert secret not in done.out + done.err
