"""The rival: nginx with LuaJIT and one script in Redis, as somebody would build it by hand who wants speed.

It does less than extauth: no argon2, no scopes, no route table, no log line, no metric. All that it asks of a
key is that there is a record under its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
from pathlib import Path
from string import Template

from benchmarks.load import HOST, check_request, probe
from benchmarks.redis_server import RedisServer
from benchmarks.servers import REPOSITORY, Server, ServerError, free_ports, start

# By which of the files there each of them asks Redis.
RIVALS = {"rival": "library", "rival-by-hand": "by_hand"}
_CODE = REPOSITORY / "benchmarks" / "rival"
_NEEDED = ("ndk_http_module.so", "ngx_http_lua_module.so")
# What the two buckets hold and get back each second, and the quota: out of reach, and spent by one check.
_ROOMY = (1e6, 1e6, 1e9, 1e9 / 86_400, 1e9)
_SPENT = (1e6, 1e6, 1.0, 1 / 86_400, 1e9)
_SPENT_KEY = "one-check-a-day"


def program() -> str:
    """Return where nginx is. Raises ServerError, also where it has no Lua."""
    found = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None or not all((_modules(found) / name).exists() for name in _NEEDED):
        raise ServerError(
            "nginx with Lua is not installed; on Debian: apt install nginx libnginx-mod-http-lua"
        )
    return found


def start_rival(name: str, redis: RedisServer, *, key: str, core: int, folder: Path) -> Server:
    """Start one of `RIVALS` with this key, and see that it refuses what it has to. Raises ServerError."""
    with redis.client() as client:
        script = client.script_load((_CODE / "take.lua").read_text())
        for text, limits in ((key, _ROOMY), (_SPENT_KEY, _SPENT)):
            record = struct.pack(">5d", *limits) + b"benchmark"
            digest = hashlib.sha256(text.encode()).digest()
            client.set(b"rival:key:" + digest, record)
            # What another rival took of it.
            client.delete(b"rival:limits:" + digest)
    port = free_ports(1)[0]
    nginx = program()
    folder = folder / name
    folder.mkdir()
    names = {
        "folder": folder,
        "modules": _modules(nginx),
        "code": _CODE,
        "host": HOST,
        "port": port,
        "redis_port": redis.server.port,
        "script": script,
        "client": RIVALS[name],
    }
    file = folder / "nginx.conf"
    file.write_text(Template((_CODE / "nginx.conf").read_text()).substitute(names))
    command = [nginx, "-p", str(folder), "-e", "stderr", "-c", str(file)]
    server = start(command, port=port, core=core, folder=folder)
    try:
        _prove(port, key)
    except BaseException:
        server.stop()
        raise
    return server


def _prove(port: int, key: str) -> None:
    statuses = [probe(port, check_request(one)) for one in (key, "unknown", _SPENT_KEY, _SPENT_KEY)]
    if statuses != [200, 401, 200, 429]:
        raise ServerError(f"the rival answers {statuses}")


def _modules(nginx: str) -> Path:
    """Return the folder of its modules, as it was built."""
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"--modules-path=(\S+)", told)
    return Path(found[1] if found else "/usr/lib/nginx/modules")
