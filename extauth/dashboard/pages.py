"""The shell of all pages and the files that it needs: read once, told apart by a hash of all of them.

Below a path with that hash, files may be kept for good by browsers; the shell always names the newest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from extauth.admin.problems import AdminCode, Problem, ProblemResponse

STATIC = "/dashboard/static/"
_FOLDER = Path(__file__).parent / "static"
_SHELL = "index.html"
_FOR_GOOD = "public, max-age=31536000, immutable"
_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
# Licences of what is vendored have no ending.
_OTHERWISE = "text/plain; charset=utf-8"


class File(NamedTuple):
    """One file as it is answered."""

    content: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, content: bytes, suffix: str) -> File:
        """Make one of its content."""
        return cls(content, _TYPES.get(suffix, _OTHERWISE), f'"{_hash(content)}"')


class Pages:
    """Answers with the shell and with static files."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        contents = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        self._version = _hash(b"".join(f"{name}\n".encode() + text for name, text in contents.items()))
        self._files = {name: File.of(content, Path(name).suffix) for name, content in contents.items()}
        shell = contents.get(_SHELL, b"").replace(STATIC.encode(), f"{STATIC}{self._version}/".encode())
        self._shell = File.of(shell, ".html")

    async def shell(self, request: Request) -> Response:
        """Answer with the shell: which page it shows follows from the path. The API is no page."""
        if request.path_params["path"].startswith("api/"):
            return ProblemResponse(Problem(code=AdminCode.NOT_FOUND))
        return _answer(request, self._shell, "no-cache")

    async def static(self, request: Request) -> Response:
        """Answer with a file; one of another version is the newest there is, which nobody may keep."""
        path = request.path_params["path"]
        version, _, rest = path.partition("/")
        if version == self._version and rest in self._files:
            return _answer(request, self._files[rest], _FOR_GOOD)
        file = self._files.get(path) or (
            self._files.get(rest) if len(version) == len(self._version) else None
        )
        if file is None:
            return ProblemResponse(Problem(code=AdminCode.NOT_FOUND))
        return _answer(request, file, "no-cache")


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:15]).decode()


def _answer(request: Request, file: File, caching: str) -> Response:
    headers = {"cache-control": caching, "etag": file.tag}
    asked = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
    if file.tag in asked:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
