"""What the pages for consumers show works, through both proxies: the programs, and the client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.examples.client import Answer, Client, GaveUpError, KeyIsEndingWarning, RefusedError
from extauth.docs.facts import facts_of
from extauth.docs.site import SAMPLES, sample
from extauth.settings.model import Settings

from .conftest import Keys, Proxy
from .processes import wait_until
from .service import Key, Service
from .upstream import Upstream

# How each is run.
PROGRAMS = {
    "request.sh": ["sh"],
    "request.py": [sys.executable],
    "request.mjs": ["nodejs"],
    "request.go": ["go", "run"],
}
_NO_GO = (
    "there is no `go` here: it takes 300 MB, more than all else that tests need, so `make test-packages` "
    "installs none; where there is one, this program is run as the others are"
)
_WITHOUT_GO = pytest.mark.skipif(shutil.which("go") is None, reason=_NO_GO)
_EACH = [pytest.param(file, marks=[_WITHOUT_GO] if file == "request.go" else []) for file in PROGRAMS]
_TIMEOUT = 120


def test_every_program_is_run() -> None:
    """The tests below would pass with nothing to run."""
    assert {each.file for each in SAMPLES} == PROGRAMS.keys()


def run(file: str, folder: Path, proxy: Proxy, key: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the page shows it, with the proxy as the API."""
    routes = [{"path": "/public/orders", "scopes": ["public:read"]}]
    settings = {"docs": {"api_url": f"http://127.0.0.1:{proxy.port}"}, "routes": routes}
    program = folder / file
    program.write_text(sample(file, facts_of(Settings.model_validate(settings))))
    command = [*PROGRAMS[file], str(program)]
    environment = {**os.environ, "API_KEY": key, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )


@pytest.mark.parametrize("file", _EACH)
def test_a_program_gets_the_answer(
    proxy: Proxy, keys: Keys, upstream: Upstream, tmp_path: Path, file: str
) -> None:
    """With a good key it prints what the API says."""
    done = run(file, tmp_path, proxy, keys.reader.text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == upstream.answer.body.decode().strip()
    assert [received.target for received in upstream.requests] == ["/public/orders"]


@pytest.mark.parametrize("file", _EACH)
def test_a_program_says_why_it_is_refused(
    proxy: Proxy, upstream: Upstream, tmp_path: Path, file: str
) -> None:
    """It fails, with the code of the problem, and never with the key."""
    wrong = "xa_live_wrong"
    done = run(file, tmp_path, proxy, wrong)
    assert done.returncode != 0
    assert "invalid_key" in done.stdout + done.stderr
    assert "may be mistyped" in done.stdout + done.stderr
    assert wrong not in done.stdout + done.stderr
    assert upstream.requests == []


def client_for(
    proxy: Proxy, key: Key, *, waited: Callable[[float], None] = lambda _: None, patience: float = 60
) -> Client:
    """Return a client that tells how long it would wait, and doesn't."""
    return Client(f"http://127.0.0.1:{proxy.port}", key.text, patience=patience, sleep=waited)


def test_the_client_gets_answers(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """With the limits, and without its key in what the upstream sees."""
    answer = client_for(proxy, keys.reader).request("POST", "/public/a", body=b"x")
    assert (answer.status, answer.body) == (200, upstream.answer.body)
    assert "ratelimit" in answer.headers
    assert upstream.requests[0].header("authorization") == ""


def test_the_client_is_slowed_down_before_it_is_refused(proxy: Proxy, service: Service) -> None:
    """From half of the limit on it waits, so that what remains lasts until the limit is whole again."""
    waits: list[float] = []
    key = service.create_key("careful@example.com", tier="scarce")
    client = client_for(proxy, key, waited=waits.append, patience=4_000)
    for remaining in range(19, 8, -1):
        assert client.request("GET", "/a").headers["x-ratelimit-remaining"] == str(remaining)
    assert waits == []
    client.request("GET", "/a")
    # 11 of 20 an hour are whole again after 1980 s, of which 9 requests get 220 s each.
    (wait,) = waits
    assert 200 < wait <= 220


def test_the_client_waits_as_told_and_passes(proxy: Proxy, service: Service) -> None:
    """After a refusal for a limit it waits for Retry-After, asks again, and gets its answer."""
    waits: list[float] = []
    key = service.create_key("patient@example.com", tier="spent")
    operator = service.create_key("operator@example.com", scopes=("extauth:admin",))

    def wait(seconds: float) -> None:
        waits.append(seconds)
        service.reset_limits(key, by=operator)

    client = client_for(proxy, key, waited=wait, patience=5_000)
    client.spread = 0
    assert client.request("GET", "/a").status == 200
    assert client.request("GET", "/a").status == 200
    (waited,) = waits
    # An hour less what has passed, and a tenth at most at random.
    assert 3_500 < waited <= 3_600 * 1.1


def refused(client: Client, path: str) -> tuple[type[RefusedError], Answer]:
    """Return how a request is refused."""
    with pytest.raises(RefusedError) as caught:
        client.request("GET", path)
    return type(caught.value), caught.value.answer


def test_the_client_gives_up_where_waiting_is_of_no_use(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """On 401 and 403 at once, and where it would have to wait for longer than it may, without any wait."""
    wrong = keys.reader._replace(text=keys.reader.text[:-1] + "!")
    expected = [
        (wrong, "/public/a", RefusedError, 401, "invalid_key"),
        (keys.reader, "/admin", RefusedError, 403, "insufficient_scope"),
        (keys.spent, "/a", GaveUpError, 429, "rate_limited"),
    ]
    waits: list[float] = []
    for key, path, kind, status, code in expected:
        error, answer = refused(client_for(proxy, key, waited=waits.append), path)
        assert (error, answer.status, answer.problem()["code"]) == (kind, status, code)
    assert (waits, upstream.requests) == ([], [])


def test_the_client_warns_when_its_key_was_replaced(proxy: Proxy, service: Service) -> None:
    """It goes on working; the new key has no warning."""
    old = service.create_key("turned@example.com")
    new = service.rotate_key(old, grace="2h")
    client = client_for(proxy, old)

    def told() -> bool:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert client.request("GET", "/a").status == 200
        return any(warning.category is KeyIsEndingWarning for warning in caught)

    wait_until(told, within=2, what="the rotation noticed")
    assert not told()
    assert client_for(proxy, new).request("GET", "/a").status == 200
