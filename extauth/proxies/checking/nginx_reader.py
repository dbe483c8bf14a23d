"""Reads nginx's configuration language into directives, each with its file and line, `include` written out.

What a directive means, and whether there is one of that name, is not its business: modules bring their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from extauth.proxies.checking.findings import UnreadableError

_LARGEST_FILE = 4 << 20
_MOST_FILES = 1_000
_DEEPEST = 32
_DEEPEST_INCLUDE = 16
# Blanks, comments, what ends a directive, and what is quoted or not; nginx's own ngx_conf_read_token.
_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)|(?P<comment>\#[^\n]*)|(?P<mark>[;{}])
    |"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'
    |(?P<word>(?:[^\s;{}"'\\$]|\\.|\$\{[^{}\s]*\}|\$)(?:[^\s;{\\$]|\\.|\$\{[^{}\s]*\}|\$)*)""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# A block of these holds a program in another language.
_PROGRAM = re.compile(r"_by_lua_block$")
_GLOB = re.compile(r"[*?\[]")

# `${name}` is `$name`, but for what could follow.
_BRACED = re.compile(r"\$\{(\w+)\}(?!\w)")


class Directive(NamedTuple):
    """One directive; `block` is None where it has none."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple[Directive, ...] | None

    @property
    def where(self) -> str:
        """File and line, as people jump to them."""
        return f"{self.file}:{self.line}"

    def inner(self, *names: str) -> Iterator[Directive]:
        """Yield the directives of these names right within its block."""
        return (directive for directive in self.block or () if directive.name in names)


class _Token(NamedTuple):
    text: str
    is_mark: bool
    line: int
    end: int


def read_nginx(path: Path) -> tuple[Directive, ...]:
    """Read a configuration and all that it includes, relative to its own folder as nginx does.

    Raises:
        UnreadableError: A file isn't there, or what stands in it isn't nginx's language.
    """
    return _Reader(path.parent).file(path, depth=0)


def parse_nginx(text: str, file: str) -> tuple[Directive, ...]:
    """Read a text. Nothing is included. Raises UnreadableError."""
    return _Parser(text, file).directives()


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0

    def file(self, path: Path, *, depth: int) -> tuple[Directive, ...]:
        self._files += 1
        if depth > _DEEPEST_INCLUDE or self._files > _MOST_FILES:
            raise UnreadableError(f"{path}: includes go too deep, or round in a circle")
        return tuple(self._written_out(parse_nginx(_text_of(path), str(path)), depth=depth))

    def _written_out(self, directives: Sequence[Directive], *, depth: int) -> Iterator[Directive]:
        for directive in directives:
            if directive.name == "include" and len(directive.args) == 1 and directive.block is None:
                for path in self._included(directive):
                    yield from self.file(path, depth=depth + 1)
            elif directive.block is None:
                yield directive
            else:
                inner = tuple(self._written_out(directive.block, depth=depth))
                yield directive._replace(block=inner)

    def _included(self, include: Directive) -> list[Path]:
        pattern = include.args[0]
        if not _GLOB.search(pattern):
            path = self._folder / pattern
            if not path.is_file():
                raise UnreadableError(f"{include.where}: {pattern!r} is no file in {self._folder}")
            return [path]
        try:
            root = Path("/") if pattern.startswith("/") else self._folder
            return sorted(path for path in root.glob(pattern.lstrip("/")) if path.is_file())
        # What `glob` raises for patterns that it can't look for depends on the version of Python.
        except (ValueError, NotImplementedError, OSError) as error:
            raise UnreadableError(f"{include.where}: {pattern!r} can't be looked for: {error}") from None


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UnreadableError(f"{path}: larger than {_LARGEST_FILE >> 20} MiB")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._line = 1

    def directives(self) -> tuple[Directive, ...]:
        # A stack instead of recursion: each entry is an open block with what stands before and in it.
        opened: list[tuple[list[_Token], list[Directive]]] = []
        found: list[Directive] = []
        words: list[_Token] = []
        position = 0
        while (token := self._next(position)) is not None:
            position = token.end
            if not token.is_mark:
                words.append(token)
            elif token.text == ";":
                found.append(self._made(words, None, token))
                words = []
            elif token.text == "{":
                if len(opened) >= _DEEPEST:
                    raise self._mistake(f"nested more than {_DEEPEST} levels deep")
                if words and _PROGRAM.search(words[0].text):
                    position = self._after_program(position)
                    found.append(self._made(words, (), token))
                else:
                    opened.append((words, found))
                    found = []
                words = []
            elif words or not opened:
                raise self._mistake("unexpected '}'")
            else:
                head, outer = opened.pop()
                outer.append(self._made(head, tuple(found), token))
                found = outer
        if opened or words:
            raise self._mistake("unexpected end of file: '}' or ';' is missing")
        return tuple(found)

    def _made(self, words: list[_Token], block: tuple[Directive, ...] | None, mark: _Token) -> Directive:
        if not words:
            raise self._mistake(f"unexpected {mark.text!r}")
        name, *args = words
        return Directive(
            name.text, tuple(_BRACED.sub(r"$\1", arg.text) for arg in args), self._file, name.line, block
        )

    def _next(self, position: int) -> _Token | None:
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._mistake("a quotation has no end, or a character is misplaced")
            line = self._line
            self._line += match[0].count("\n")
            position = match.end()
            if match["mark"]:
                return _Token(match["mark"], True, line, position)
            for name in ("double", "single", "word"):
                if match[name] is not None:
                    return _Token(_ESCAPE.sub(_unescaped, match[name]), False, line, position)
        return None

    def _after_program(self, position: int) -> int:
        """Return where a block with a program ends: at the brace that closes it, as nginx counts them."""
        depth = 1
        for match in re.compile(r"[{}\n]").finditer(self._text, position):
            if match[0] == "\n":
                self._line += 1
                continue
            depth += 1 if match[0] == "{" else -1
            if depth == 0:
                return match.end()
        raise self._mistake("a block with a program has no end")

    def _mistake(self, what: str) -> UnreadableError:
        return UnreadableError(f"{self._file}:{self._line}: {what}")


def _unescaped(escape: re.Match[str]) -> str:
    """Return what nginx makes of a backslash and a character: it knows five, and leaves others alone."""
    return {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}.get(escape[1], escape[0])
