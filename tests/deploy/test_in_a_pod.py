"""extauth with the volumes, the environment and the settings of its pods: it starts, and reloads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.deploy.cluster import OVERLAYS, overlay, settings_text
from tests.deploy.mounted import SECRETS, Pod, settings_of
from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

pytestmark = pytest.mark.servers
# A machine that runs tests is slow now and then.
PATIENCE = 20.0


@pytest.fixture(params=["embedded-single", "redis"])
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pod]:
    """A pod of an overlay, with a Redis that wants the user and the password of the Secret."""
    with ExitStack() as stack:
        url = stack.enter_context(redis(tmp_path)) if request.param == "redis" else None
        pod = Pod(overlay(request.param), tmp_path / "root", store_url=url)
        stack.callback(pod.child.stop)
        pod.child.start()
        yield pod


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis for the user that the settings name, and for nobody else."""
    password = SECRETS["redis-password"]
    user = settings_of(overlay("redis")).store.redis.user
    rules = f"user {user} on >{password} ~* &* +@all\nuser default off\n"
    with running(RedisServer(folder / "redis", configuration=rules)) as server:
        yield server.url.replace("redis://", f"redis://{user}@")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_settings_have_no_mistakes(name: str) -> None:
    """By extauth's own loader, and the listeners are where the ports of the pod are."""
    settings = settings_of(overlay(name))
    addresses = [settings.listen.check, settings.listen.admin, settings.listen.completion]
    assert [(address.host, address.port) for address in addresses] == [
        ("0.0.0.0", 9000),
        ("0.0.0.0", 9001),
        ("0.0.0.0", 9002),
    ]


def test_every_probe_is_answered(pod: Pod) -> None:
    """By the address that a kubelet asks, and with the secrets as it mounts them for a group."""
    assert [pod.probe(name) for name in ("startup", "liveness", "readiness")] == [HTTPStatus.OK] * 3
    assert pod.check() == HTTPStatus.UNAUTHORIZED


def test_new_settings_of_a_config_map_are_taken_over(pod: Pod) -> None:
    """When the kubelet turns its link to another folder, and again; without a new process."""
    for path in ("/first", "/second"):
        assert pod.check(path) == HTTPStatus.UNAUTHORIZED
        text = settings_text(pod.objects) + f"routes: [{{path: {path}, auth: none}}]\n"
        pod.settings.write({"extauth.yaml": text})
        wait_until(lambda: pod.check(path) == HTTPStatus.OK, within=PATIENCE, what="it is taken over")  # noqa: B023
    assert pod.readiness()["parts"]["config"].startswith(("ok", "waiting for a restart"))


def test_bad_settings_of_a_config_map_are_refused(pod: Pod) -> None:
    """The pod goes on with the old ones, stays ready, and says so."""
    pod.settings.write({"extauth.yaml": "default_rote: deny\n"})
    wait_until(
        lambda: "default_rote" in pod.readiness()["parts"]["config"], within=PATIENCE, what="it is refused"
    )
    assert pod.probe("readiness") == HTTPStatus.OK
    assert pod.check() == HTTPStatus.UNAUTHORIZED
