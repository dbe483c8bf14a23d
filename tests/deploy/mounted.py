"""What a kubelet makes of the volumes of a pod, in a folder of the test, and extauth in such a pod."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from extauth.settings.files import NAMED
from extauth.settings.load import load_settings
from extauth.settings.model import Settings
from tests.deploy.cluster import REPOSITORY, Object, container, environment, of_kind, pod, settings_text
from tests.integration.processes import Child, free_ports

HOST = "127.0.0.1"
SECRETS = {"pepper": "a-pepper-of-the-tests-that-is-long-enough", "redis-password": "a-password-of-the-tests"}
_numbers = itertools.count()


class Volume:
    """A folder with files, as a ConfigMap or a Secret is mounted (pkg/volume/util/atomic_writer.go).

    Each file is a link through `..data`, which is a link to a folder with a name of its own. New content is a
    new folder: `..data` is turned to it in one step, and the old one goes.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], *, mode: int = 0o644) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._mode = mode
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        """Put other content in the place of what is there."""
        data = self._folder / "..data"
        old = data.resolve() if data.is_symlink() else None
        new = self._folder / f"..2026_11_29_01_00_00.{next(_numbers)}"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
            (new / name).chmod(self._mode)
        link = self._folder / "..data_tmp"
        link.symlink_to(new.name)
        link.replace(data)
        for name in files:
            if not (self._folder / name).is_symlink():
                (self._folder / name).symlink_to(Path("..data") / name)
        if old is not None:
            shutil.rmtree(old)


class Pod:
    """A pod's container, run by this Python: its volumes under `root`, its listeners on loopback.

    Everything else is as its settings and its environment have it.
    """

    def __init__(self, objects: tuple[Object, ...], root: Path, *, store_url: str | None = None) -> None:
        self.objects = objects
        self.root = root
        self.check_port, self.admin_port, completion = free_ports(3)
        self.settings = self._mount()
        database = root / "var/lib/extauth"
        database.mkdir(parents=True, exist_ok=True)
        file = root / environment(objects)["EXTAUTH_CONFIG"].lstrip("/")
        search = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(REPOSITORY)]))
        self.environment = {
            **os.environ,
            "PYTHONPATH": search,
            **environment(objects),
            "EXTAUTH_CONFIG": str(file),
            **files_under(root, yaml.safe_load(settings_text(objects))),
            "EXTAUTH_STORE__URL": store_url or f"sqlite:///{database / 'extauth.db'}",
            "EXTAUTH_LISTEN__CHECK": f"{HOST}:{self.check_port}",
            "EXTAUTH_LISTEN__ADMIN": f"{HOST}:{self.admin_port}",
            "EXTAUTH_LISTEN__COMPLETION": f"{HOST}:{completion}",
        }
        command, *arguments = container(objects)["command"]
        assert command == "extauth"
        self.child = Child(
            [sys.executable, "-m", command, *arguments],
            log=root / "output.log",
            folder=root,
            ready=lambda: self.probe("startup") == http.HTTPStatus.OK,
            environment=self.environment,
        )

    def probe(self, name: str) -> int:
        """Ask as the kubelet does for one of the probes; return the status, 0 where nobody answers."""
        wanted = container(self.objects)[f"{name}Probe"]["httpGet"]
        return self._ask(self.admin_port, wanted["path"])[0]

    def check(self, path: str = "/v1/x") -> int:
        """Ask as Envoy does, without a key; return the status."""
        return self._ask(self.check_port, f"/envoy{path}")[0]

    def readiness(self) -> Any:
        """Return the body of `/readyz`."""
        return json.loads(self._ask(self.admin_port, "/readyz")[1])

    def _ask(self, port: int, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            # The name that a kubelet calls a pod by is its address.
            connection.request("GET", path, headers={"Host": "10.244.1.7:9001"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b"{}"
        finally:
            connection.close()

    def _mount(self) -> Volume:
        volumes = {volume["name"]: volume for volume in pod(self.objects)["volumes"]}
        found: dict[str, Volume] = {}
        for mount in container(self.objects)["volumeMounts"]:
            assert "subPath" not in mount, "a kubelet brings nothing new to such a file"
            volume, folder = volumes[mount["name"]], self.root / mount["mountPath"].lstrip("/")
            if "configMap" in volume:
                found["settings"] = Volume(folder, _data(self.objects, volume["configMap"]["name"]))
            elif "secret" in volume:
                Volume(folder, SECRETS, mode=volume["secret"]["defaultMode"])
        return found["settings"]


def files_under(root: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables by which the files of secrets that the settings name are found under a folder."""
    return {
        f"EXTAUTH_{section}__{field}".upper(): f"{root}{settings[section][field]}"
        for section, field in NAMED
        if field in settings.get(section, {})
    }


def settings_of(objects: tuple[Object, ...]) -> Settings:
    """Load what a pod would: an error of extauth's own loader if there is a mistake."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        Volume(root / "run/secrets/extauth", SECRETS)
        file = root / "extauth.yaml"
        file.write_text(settings_text(objects))
        return load_settings(
            file, {**environment(objects), **files_under(root, yaml.safe_load(file.read_text()))}
        )


def _data(objects: tuple[Object, ...], name: str) -> Mapping[str, str]:
    (found,) = (each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"] == name)
    data: Mapping[str, str] = found["data"]
    return data
