"""The real program under schemathesis: whatever is sent, the answers are those that the document promises."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from extauth.admin.counts import AdminOutcome
from tests.integration.processes import Child, free_ports, wait_until

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SCHEMA = "/admin/v1/openapi.json"
# Few enough to be quick, and always the same.
EXAMPLES = "12"


class Server:
    """The program with a store of its own, and an admin key made as the first one is."""

    def __init__(self, folder: Path) -> None:
        check, admin = free_ports(2)
        self.url = f"http://127.0.0.1:{admin}"
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EXTAUTH")},
            "PYTHONPATH": str(REPOSITORY),
            "EXTAUTH_LISTEN__CHECK": f"127.0.0.1:{check}",
            "EXTAUTH_LISTEN__ADMIN": f"127.0.0.1:{admin}",
            "EXTAUTH_LISTEN__COMPLETION": "127.0.0.1:0",
            "EXTAUTH_STORE__URL": f"sqlite:///{folder / 'extauth.db'}",
            "EXTAUTH_KEYS__HASHING__MEMORY_KIB": "8192",
            "EXTAUTH_KEYS__HASHING__TIME_COST": "1",
        }
        command = "keys create --user-id ops --name admin --scope extauth:admin --json"
        made = orjson.loads(self.run([sys.executable, "-m", "extauth", *command.split()]).stdout)
        self.key, self.key_id = made["key"], made["key_id"]
        self.child = Child(
            [sys.executable, "-m", "extauth", "serve"],
            log=folder / "extauth.log",
            folder=folder,
            ready=lambda: self.status("/readyz") == 200,
            environment=self.environment,
        )

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program beside the server."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def status(self, path: str) -> int:
        """Return the status of an answer, 0 where there is none."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=1) as answer:
                return int(answer.status)
        except OSError:
            return 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a running server."""
    started = Server(tmp_path_factory.mktemp("server"))
    started.child.start()
    try:
        yield started
    finally:
        started.child.stop()


def test_schemathesis_finds_no_fault(server: Server) -> None:
    """No 500, no status or content type that isn't documented, no member too many, no door left open."""
    done = server.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"{server.url}{SCHEMA}",
            f"--header=Authorization: Bearer {server.key}",
            "--checks=all",
            # What is valid also depends on the configuration, the clock and the caller's rights.
            "--exclude-checks=positive_data_acceptance",
            "--generation-deterministic",
            f"--max-examples={EXAMPLES}",
            "--suppress-health-check=all",
            "--continue-on-failure",
            "--warnings=off",
            "--no-color",
        ],
        SCHEMATHESIS_HOOKS=str(HERE / "schemathesis_hooks.py"),
        OWN_KEY_ID=server.key_id,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "22 selected / 22 total" in done.stdout
    log = server.child.output()
    assert '"event":"fault"' not in log
    # It got through to where changes are made, and never lost its key.
    assert '"operation":"createKey","status":201' in log
    assert server.status("/livez") == 200
    request = urllib.request.Request(
        f"{server.url}/admin/v1/keys", headers={"Authorization": f"Bearer {server.key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_a_body_that_is_too_large_is_refused_over_a_socket(server: Server) -> None:
    """While it is still being sent: the answer arrives, and the server goes on."""
    request = urllib.request.Request(
        f"{server.url}/admin/v1/keys",
        data=b" " * 200_000,
        headers={"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.status == 413
        assert orjson.loads(answer.read())["code"] == "body_too_large"


def test_the_counts_are_on_the_metrics_page(server: Server) -> None:
    """With every outcome, whether it happened or not."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    for outcome in AdminOutcome:
        assert f'\nextauth_admin_requests_total{{outcome="{outcome}"}} ' in page


def test_who_is_connected_is_who_is_audited(server: Server) -> None:
    """Whatever address a header names: the server in front of the API must not believe it either."""
    key_id = "ZZZZforward1"
    request = urllib.request.Request(
        f"{server.url}/admin/v1/keys/{key_id}/disable",
        data=b"{}",
        headers={
            "Authorization": f"Bearer {server.key}",
            "Content-Type": "application/json",
            "X-Forwarded-For": "203.0.113.77",
        },
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    about_it = f'"key_id":"{key_id}"'
    wait_until(lambda: about_it in server.child.output(), within=10, what="the change is logged")
    (line,) = [line for line in server.child.output().splitlines() if about_it in line]
    assert orjson.loads(line)["client_ip"] == "127.0.0.1"
