"""The pages themselves, rendered from templates. They know no server: `serving.py` answers with them.

Whatever comes from the settings is escaped by the templates, and all links are relative, so that the pages
can be served below any prefix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from extauth.admin.problems import ADMIN_PROBLEMS, AdminCode
from extauth.dialects.problems import PROBLEMS
from extauth.docs.answers import ExampleAnswer, Examples, admin_example, proxy_example
from extauth.docs.facts import Facts, facts_of
from extauth.docs.problems import ADMIN_EXPLANATIONS, EXPLANATIONS, PROXY_CODE, PROXY_EXPLANATION, Explanation
from extauth.model import Code
from extauth.settings.model import Settings

HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_CSS = "text/css; charset=utf-8"
PROBLEM_FOLDER = "problems/"
# What the sample files ask, of which readers see that of their own API instead.
_SAMPLE_API, _SAMPLE_PATH = "https://api.example.com", "/v1/orders"
# A path with more steps is nobody's mistake, and each would make each link longer.
_DEEPEST = 8


class Page(NamedTuple):
    """A page as it is sent. `tag` is a strong validator, in quotes (RFC 9110 section 8.8.3)."""

    status: int
    media_type: str
    body: bytes
    tag: str


class Entry(NamedTuple):
    """A line of the table of contents; `path` is below `/docs/`."""

    path: str
    name: str


class Sample(NamedTuple):
    """A program for readers to copy."""

    language: str
    file: str


class Told(NamedTuple):
    """One answer that a problem's code stands in; `by` says who gives it."""

    by: str
    explanation: Explanation
    detail: str
    example: ExampleAnswer


_CONTENTS = (
    Entry("", "Overview"),
    Entry("authentication", "Authentication"),
    Entry("routes", "Routes and scopes"),
    Entry("limits", "Tiers and limits"),
    Entry("headers", "Headers"),
    Entry(PROBLEM_FOLDER, "Problems"),
    Entry("backing-off", "Backing off"),
    Entry("rotation", "Rotating a key"),
)
SAMPLES = (
    Sample("curl", "request.sh"),
    Sample("Python", "request.py"),
    Sample("JavaScript", "request.mjs"),
    Sample("Go", "request.go"),
)
CLIENT = Sample("Python", "client.py")
CODES = (*(code.value for code in PROBLEMS), PROXY_CODE)
ADMIN_ONLY = tuple(code.value for code in AdminCode if code.value not in CODES)
_PROBLEM_PATHS = frozenset(PROBLEM_FOLDER + code for code in (*CODES, *ADMIN_ONLY))


class Site:
    """The pages under one version of the settings. A page is made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.enabled = settings.docs.enabled
        self._settings = settings
        self._contents = {entry.path: entry.name for entry in contents(lists_routes=settings.docs.routes)}
        self._made: dict[str, Page] = {}

    def made(self, path: str) -> Page | None:
        """Return the page at a path below `/docs/` if it was asked for before."""
        return self._made.get(self._known(path))

    def make(self, path: str) -> Page:
        """Return the page at a path below `/docs/`, or one that says what there is instead."""
        path = self._known(path)
        page = self._made[path] = self._file(path) or self._document(path)
        return page

    def _known(self, path: str) -> str:
        """Return the path, or one for all those as deep at which there is nothing: they share a page."""
        if path in self._contents or path in _PROBLEM_PATHS or path in {style_name(), CLIENT.file}:
            return path
        return "../" * min(path.count("/"), _DEEPEST) + "missing"

    @cached_property
    def _facts(self) -> Facts:
        return facts_of(self._settings)

    @cached_property
    def _examples(self) -> Examples:
        return Examples(self._settings)

    def _file(self, path: str) -> Page | None:
        if path == style_name():
            return _page(style(), media_type=_CSS)
        if path == CLIENT.file:
            return _page(sample(CLIENT.file, self._facts), media_type=_TEXT)
        return None

    def _document(self, path: str) -> Page:
        name = self._contents.get(path)
        if name is not None:
            return self._render(path.rstrip("/") or "index", path, name=name, **self._matter(path))
        if path in _PROBLEM_PATHS:
            code = path.removeprefix(PROBLEM_FOLDER)
            return self._render("problem", path, name=code, told=self._told(code))
        return self._render("missing", path, status=404, name="Not found")

    def _matter(self, path: str) -> Mapping[str, Any]:
        """Return what a page needs beside the facts."""
        examples = self._examples
        match path:
            case "authentication":
                samples = [(each.language, sample(each.file, self._facts)) for each in SAMPLES]
                return {"samples": samples, "missing": examples.denied(Code.MISSING_KEY)}
            case "headers":
                return {"allowed": examples.allowed(), "limited": examples.denied(Code.RATE_LIMITED)}
            case "backing-off":
                client = sample(CLIENT.file, self._facts)
                return {"limited": examples.denied(Code.RATE_LIMITED), "client": client}
            case "rotation":
                return {"rotated": examples.allowed(rotated=True)}
            case "problems/":
                return {
                    "codes": [(code, _status(code), _title(code)) for code in CODES],
                    "admin": _admin_rows(),
                }
        return {}

    def _told(self, code: str) -> Sequence[Told]:
        told = []
        if code == PROXY_CODE:
            told.append(Told("the proxy", PROXY_EXPLANATION, "", proxy_example()))
        elif code in CODES:
            kind = PROBLEMS[Code(code)]
            example = self._examples.denied(Code(code))
            told.append(Told("the API", EXPLANATIONS[Code(code)], kind.detail, example))
        if code in {*AdminCode}:
            explanation, kind_of_admin = ADMIN_EXPLANATIONS[AdminCode(code)], ADMIN_PROBLEMS[AdminCode(code)]
            example = admin_example(AdminCode(code))
            told.append(Told("the admin API", explanation, kind_of_admin.detail, example))
        return told

    def _render(self, template: str, path: str, *, status: int = 200, **matter: Any) -> Page:
        text = (
            _templates()
            .get_template(f"{template}.html")
            .render(
                facts=self._facts,
                path=path,
                root="../" * path.count("/"),
                contents=self._contents,
                style=style_name(),
                **matter,
            )
        )
        return _page(text, status=status)


def contents(*, lists_routes: bool) -> Sequence[Entry]:
    """Return the table of contents."""
    return [entry for entry in _CONTENTS if entry.path != "routes" or lists_routes]


def sample(file: str, facts: Facts) -> str:
    """Return a sample program that asks this API."""
    text = _read_sample(file).replace(_SAMPLE_PATH, facts.example_path)
    return text.replace(_SAMPLE_API, facts.api_url)


def _status(code: str) -> int:
    return 503 if code == PROXY_CODE else PROBLEMS[Code(code)].status


def _title(code: str) -> str:
    return proxy_example().reason if code == PROXY_CODE else PROBLEMS[Code(code)].title


def _admin_rows() -> Sequence[tuple[str, int, str]]:
    return [(code.value, kind.status, kind.title) for code, kind in ADMIN_PROBLEMS.items()]


def _page(text: str, *, status: int = 200, media_type: str = HTML) -> Page:
    body = text.encode()
    return Page(status, media_type, body, f'"{_digest(body)}"')


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()


@cache
def style() -> str:
    """Return the style sheet."""
    return (_PACKAGE / "style.css").read_text(encoding="utf-8")


@cache
def style_name() -> str:
    """Return the path of the style sheet: another one for another content, so it may be kept for ever."""
    return f"style-{_digest(style().encode())}.css"


_PACKAGE = Path(__file__).parent


@cache
def _read_sample(file: str) -> str:
    # In a checkout they lie where readers of the repository look; a wheel brings them along.
    folders = (_PACKAGE / "samples", _PACKAGE.parents[1] / "docs" / "examples")
    folder = next(folder for folder in folders if folder.is_dir())
    return (folder / file).read_text(encoding="utf-8")


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PACKAGE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["prose"] = _prose
    return environment


def _prose(text: str) -> Markup:
    """Return text as HTML; what stands in backticks is code."""
    parts = text.split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )
