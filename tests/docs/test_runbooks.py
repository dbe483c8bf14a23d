"""The runbooks work as they stand, against a real service in the trouble that they are about."""

from __future__ import annotations

import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.consoles import REPOSITORY, Terminal, steps
from tests.integration.processes import Child, free_ports
from tests.redis.server import RedisServer, running

_PEPPER = "made-up-for-the-runbooks-and-worth-nothing"
_CLIENT = "203.0.113.9"
_CONFIGURATION = """\
listen: {{check: "127.0.0.1:9000", admin: "127.0.0.1:9001", completion: "127.0.0.1:9002"}}
store: {{url: "{store}"}}
routes:
  - {{path: /v1/orders/**, scopes: [orders:read]}}
abuse: {{per_address: {{failures: 1000}}}}
log: {{file: extauth.log}}
"""


class Operator:
    """A service in a folder with the key of a client, and a terminal in which runbooks are followed."""

    def __init__(self, folder: Path, *, store: str = "sqlite:///data/extauth.db", more: str = "") -> None:
        check, admin, completion = free_ports(3)
        self.known = {
            "127.0.0.1:9000": f"127.0.0.1:{check}",
            "127.0.0.1:9001": f"127.0.0.1:{admin}",
            "127.0.0.1:9002": f"127.0.0.1:{completion}",
        }
        self.terminal = Terminal(folder, self.known)
        self.terminal.write({"extauth.yaml": _CONFIGURATION.format(store=store) + more})
        self._ready = f"http://127.0.0.1:{admin}/readyz"
        self.service = Child(
            [sys.executable, "-m", "extauth", "--config", "extauth.yaml", "serve"],
            log=folder / "service.log",
            folder=folder,
            ready=self._is_ready,
            environment=self.terminal.environment,
        )

    def make_key(self) -> None:
        """Make the key that the pages speak of, and keep it in the shell's `KEY`."""
        self.do("export EXTAUTH_CONFIG=extauth.yaml")
        self.do("KEY=$(extauth keys create --user-id alice --name laptop --scope orders:read | grep ^xa_)")
        self.known["CBzYzGqquB5n"] = self.do('echo "$KEY" | cut -d_ -f3').strip()

    def call(self, key: str, *, times: int = 1) -> None:
        """Ask as a client of the address that the pages speak of."""
        url = self.terminal.here("http://127.0.0.1:9000/envoy/v1/orders/1")
        asked = f'curl -s -o /dev/null -H "X-API-Key: {key}" -H "X-Extauth-Client-Ip: {_CLIENT}" {url}'
        self.do(f"for n in $(seq {times}); do {asked}; done")

    def do(self, command: str) -> str:
        """Run a command of the test's own, which must succeed; return what it printed."""
        code, printed = self.terminal.ask(command)
        assert code == 0, f"{command}: {printed}"
        return printed

    def follow(self, page: str, stage: str | None = None) -> None:
        """Run the commands of a page, or of one stage of it."""
        found = steps(f"runbooks/{page}.md", stage)
        assert found, "no command is marked"
        for step in found:
            self.terminal.run(step)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._ready, timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def serving(operator: Operator) -> Iterator[Operator]:
    """Have the service running and the terminal open, with the client's key made."""
    with operator.terminal:
        operator.make_key()
        operator.service.start()
        try:
            yield operator
        finally:
            operator.service.stop()


def test_the_store_is_down(tmp_path: Path) -> None:
    """What it says while a real Redis is gone and when it is back, with the decision to go on without it."""
    redis = RedisServer(tmp_path / "redis", ("--appendonly", "yes", "--appendfsync", "always"))
    operator = Operator(tmp_path, store=redis.url, more=f"keys: {{peppers: [{_PEPPER}]}}\n")
    operator.known |= {"127.0.0.1:6379": f"127.0.0.1:{redis.port}", "-p 6379": f"-p {redis.port}"}
    with running(redis), serving(operator):
        operator.call("$KEY")
        redis.child.stop()
        operator.call("$KEY")
        operator.follow("store-down", "gone")
        redis.child.start()
        operator.follow("store-down", "back")


def test_a_key_leaked(tmp_path: Path) -> None:
    """It ends, and what was done with it is found."""
    with serving(Operator(tmp_path)) as operator:
        operator.call("$KEY")
        operator.follow("key-leaked")


def test_a_client_is_abusive(tmp_path: Path) -> None:
    """It is found, slowed down, shut out and let in again."""
    with serving(Operator(tmp_path, more="tiers: {default: {rates: [3/hour]}}\n")) as operator:
        operator.call("$KEY", times=8)
        operator.call("wrong", times=3)
        operator.follow("client-abusive")


def test_the_pepper_is_lost(tmp_path: Path) -> None:
    """Its keys go on working without it, and their owners get others."""
    operator = Operator(tmp_path)
    with operator.terminal:
        operator.make_key()
        operator.known["a6fd38f5"] = operator.do(
            "extauth pepper status --json | jq -r '.peppers[0].pepper_id'"
        ).strip()
        operator.do("rm data/pepper")
        code, said = operator.terminal.ask("extauth serve")
        assert (code, "pepper is missing" in said) == (1, True)
        operator.do(f"export EXTAUTH_KEYS__PEPPERS={_PEPPER}")
        operator.follow("pepper-lost", "shared")
        operator.do("unset EXTAUTH_KEYS__PEPPERS")
        operator.follow("pepper-lost")
        operator.service.start()
        try:
            operator.follow("pepper-lost", "started")
        finally:
            operator.service.stop()


PAGES = [f"runbooks/{file.name}" for file in (REPOSITORY / "docs" / "runbooks").glob("*.md")]


@pytest.mark.parametrize("page", ["quick-start.md", *PAGES])
def test_no_block_of_commands_is_passed_over(page: str) -> None:
    """A block without the mark would go stale unseen; how to install is what `make` does for the tests."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"(.*)\n```console\n(.*)", text)
    unmarked = [first for above, first in blocks if not above.startswith("<!-- run")]
    assert unmarked == (
        ["$ python3 -m venv .venv && . .venv/bin/activate"] if page == "quick-start.md" else []
    )
