"""Reads Envoy's configuration, YAML or JSON, into nodes that know their path and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from extauth.proxies.checking.findings import UnreadableError
from extauth.settings.document import Document, read_document
from extauth.settings.document import Path as FieldPath

_LARGEST = 4 << 20
_DEEPEST = 64
_WORD = re.compile(r"_([a-z0-9])")
# What else stands in a path is quoted: terminals obey escape sequences.
_NAME = re.compile(r"[\w.@/-]{1,80}")


class Node:
    """A place in the document, be there something or not. Names are Envoy's with underscores.

    A document may also write them together, as JSON of protobuf does (`failureModeAllow`).
    """

    def __init__(self, document: Document, file: str, path: FieldPath, value: object) -> None:
        self._document = document
        self._file = file
        self._path = path
        self.value = value

    @property
    def where(self) -> str:
        """The path, behind file and line of the nearest place that is there."""
        line = next(
            (
                self._document.lines[self._path[:length]]
                for length in range(len(self._path), -1, -1)
                if self._path[:length] in self._document.lines
            ),
            None,
        )
        file = self._file if line is None else f"{self._file}:{line}"
        return f"{file}: {_dotted(self._path)}" if self._path else file

    def __bool__(self) -> bool:
        return self.value is not None

    def get(self, *names: str) -> Node:
        """Return what stands under a name, and under the next within that."""
        node = self
        for name in names:
            node = node._inner(name)
        return node

    def _inner(self, name: str) -> Node:
        fields = self.value if isinstance(self.value, dict) else {}
        together = _WORD.sub(lambda match: match[1].upper(), name)
        written = together if name not in fields and together in fields else name
        return Node(self._document, self._file, (*self._path, written), fields.get(written))

    def items(self) -> Iterator[Node]:
        """Yield the items of a list; none where it is no list."""
        if isinstance(self.value, list):
            for position, value in enumerate(self.value):
                yield Node(self._document, self._file, (*self._path, position), value)

    def fields(self) -> Iterator[tuple[str, Node]]:
        """Yield names and values of a mapping; none where it is none."""
        if isinstance(self.value, dict):
            for name, value in self.value.items():
                yield name, Node(self._document, self._file, (*self._path, name), value)

    @property
    def text(self) -> str:
        """The text; empty where it is none."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def is_true(self) -> bool:
        """Whether it is switched on."""
        return self.value is True or self.text == "true"

    @property
    def milliseconds(self) -> int | None:
        """A duration of protobuf, such as `0.25s`; None where it is none."""
        match = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,9}))?s", self.text)
        return None if match is None else int(match[1]) * 1_000 + int((match[2] or "0").ljust(3, "0")[:3])

    def is_a(self, kind: str) -> bool:
        """Tell whether its `@type` is that message, of whatever version."""
        written = self.value.get("@type") if isinstance(self.value, dict) else None
        return isinstance(written, str) and written.rpartition(".")[2] == kind


def _dotted(path: FieldPath) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in path]
    return "".join(steps).removeprefix(".")


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else ascii(name[:80])


def read_envoy(path: Path) -> Node:
    """Read a configuration.

    Raises:
        UnreadableError: The file can't be read, or isn't YAML or JSON that holds a mapping.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise UnreadableError(f"{path}: larger than {_LARGEST >> 20} MiB")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableError(f"{path}: not UTF-8") from None
    document = read_document(text, deepest=_DEEPEST)
    if document.mistakes and text.lstrip().startswith("{"):
        # Not all JSON is YAML: tabs may stand between its words.
        document = _json(text) or document
    for mistake in document.mistakes:
        raise UnreadableError(f"{path}:{mistake.line}: {mistake.message}")
    if not isinstance(document.value, dict):
        raise UnreadableError(f"{path}: holds no mapping, such as `static_resources`")
    return Node(document, str(path), (), document.value)


def _json(text: str) -> Document | None:
    try:
        return Document(orjson.loads(text))
    except orjson.JSONDecodeError:
        return None
