"""`extauth proxy` prints and writes configurations, and looks through others."""

from __future__ import annotations

import pytest

from extauth.proxies.printing import KINDS
from tests.shell import Shell


@pytest.mark.parametrize("proxy", ["envoy", "nginx", "caddy"])
def test_one_file_is_printed_as_it_is(shell: Shell, proxy: str) -> None:
    """So that it can be sent into a file; what is to be known goes elsewhere."""
    done = shell.run("proxy", proxy, "--upstream", "127.0.0.1:7000", "--listen", "127.0.0.1:7001")
    assert (done.code, "7000" in done.out, "7001" in done.out) == (0, True, True)
    assert done.out.startswith(f"# {KINDS[proxy].title} in front of an API")
    assert not done.err


@pytest.mark.parametrize(
    ("proxy", "names"),
    [("haproxy", ["haproxy.cfg", "extauth.lua"]), ("traefik", ["traefik.yml", "dynamic.yml"])],
)
def test_several_files_are_told_apart(shell: Shell, proxy: str, names: list[str]) -> None:
    """On standard output each stands under its name, the main one first; --output writes them."""
    done = shell.run("proxy", proxy)
    printed = [line.removeprefix("#### ") for line in done.out.splitlines() if line.startswith("#### ")]
    assert printed[: len(names)] == names
    assert f"{len(printed)} files: --output FOLDER writes them." in done.err
    assert shell.run("proxy", proxy, "--output", "there").out == ""
    assert all((shell.folder / "there" / name).is_file() for name in printed)


def test_files_that_say_something_else_stay(shell: Shell) -> None:
    """Unless they are to be replaced; the same once more is no change."""
    assert shell.run("proxy", "nginx", "--output", "there").code == 0
    assert shell.run("proxy", "nginx", "--output", "there").code == 0
    file = shell.folder / "there" / "nginx.conf"
    file.write_text("mine")
    done = shell.run("proxy", "nginx", "--output", "there")
    assert (done.code, file.read_text()) == (1, "mine")
    assert done.err == "extauth: there holds nginx.conf with another content: --overwrite replaces it\n"
    assert shell.run("proxy", "nginx", "--output", "there", "--overwrite").code == 0
    assert file.read_text() != "mine"


def test_json_has_all_files(shell: Shell) -> None:
    """With the warnings, for programs."""
    shell.configure(listen={"check": "0.0.0.0:7002"})
    printed = shell.run("proxy", "haproxy", "--json").json
    assert list(printed["files"]) == ["haproxy.cfg", "extauth.lua"]
    assert len(printed["warnings"]) == 1


def test_the_settings_in_force_are_told(shell: Shell) -> None:
    """Those of the file, like everywhere."""
    shell.configure(listen={"check": "127.0.0.1:7002"})
    assert "server 127.0.0.1:7002;" in shell.run("proxy", "nginx").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nginx", "--internal", "127.0.0.1:1"), "--internal is for Envoy and HAProxy"),
        (("nginx", "--listen", "localhost:80"), "is not an IP address with a port"),
        (("nginx", "--listen", "unix:/a"), "is not an IP address with a port"),
        (("nginx", "--upstream", "nowhere"), "'nowhere' is not an address"),
        (("caddy", "--check", "Caddyfile"), "--check reads configurations of envoy and nginx, not of caddy"),
        (("nginx", "--check", "a.conf", "--overwrite"), "--check goes with --json alone"),
        (("apache",), "'apache' is not one of"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    """Says what is wrong, with exit code 2."""
    done = shell.run("proxy", *arguments)
    assert (done.code, said in done.err) == (2, True)


def test_a_configuration_is_looked_through(shell: Shell) -> None:
    """0 where nothing is wrong, 1 with each finding where something is."""
    shell.run("proxy", "nginx", "--output", "there")
    done = shell.run("proxy", "nginx", "--check", "there/nginx.conf")
    assert (done.code, done.out) == (0, "there/nginx.conf: nothing unsafe or missing\n")
    file = shell.folder / "there" / "nginx.conf"
    file.write_text(file.read_text().replace("  internal;\n", "\n"))
    done = shell.run("proxy", "nginx", "--check", "there/nginx.conf")
    assert done.code == 1
    first, *rest = done.out.splitlines()
    assert first.startswith("unsafe check-public: there/nginx.conf:")
    assert rest == ["  the location of the check is not internal", "  instead: internal;"]
    told = shell.run("proxy", "nginx", "--check", "there/nginx.conf", "--json")
    assert (told.code, '"fine": false' in told.out, '"code": "check-public"' in told.out) == (1, True, True)


def test_advice_alone_is_fine(shell: Shell) -> None:
    """It is told, and doesn't stop a script."""
    shell.run("proxy", "envoy", "--output", "there")
    file = shell.folder / "there" / "envoy.yaml"
    file.write_text(file.read_text().replace("merge_slashes: true", "merge_slashes: false"))
    done = shell.run("proxy", "envoy", "--check", "there/envoy.yaml")
    assert (done.code, done.out.splitlines()[-1]) == (0, "there/envoy.yaml: nothing unsafe or missing")
    assert done.out.startswith("advice slashes-not-merged: there/envoy.yaml:")


def test_what_cannot_be_read_is_told_apart(shell: Shell) -> None:
    """Exit code 2, for a script that must not take it for a finding."""
    done = shell.run("proxy", "envoy", "--check", "nowhere.yaml")
    assert (done.code, done.out, done.err) == (2, "", "extauth: nowhere.yaml: No such file or directory\n")
