"""The Lua scripts, each in a file of its own beside this module."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources

Command = tuple[str | int, ...]


class Script:
    """A script of one file, or of some in a row; Redis knows it by its hash once it was run there."""

    __slots__ = ("_hash",)

    def __init__(self, *names: str) -> None:
        folder = resources.files(__package__) / "lua"
        text = "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
        # That's how Redis names scripts; nothing depends on its strength.
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        _TEXTS[self._hash] = text

    def __call__(self, keys: Sequence[str], *arguments: str | int) -> Command:
        """Return the command that runs it. All keys must be in one slot."""
        return ("EVALSHA", self._hash, len(keys), *keys, *arguments)


_TEXTS: dict[str, str] = {}

INTEND = Script("intend")
LEFT = Script("left")
RESERVE = Script("reserve")
PUT = Script("put")
REMOVE = Script("remove")
LOOK = Script("look")
RECORD = Script("record")
SETTLE = Script("settle")
APPEND = Script("append")
PAGE = Script("page")
LAST_USED = Script("last_used")
GRACE = Script("grace")
CLAIM = Script("claim")
RELEASE = Script("release")
SHADOWED = Script("shadowed")
BANS = Script("bans")
BAN = Script("ban")
LIFT = Script("lift")
WORDS = Script("words")
USAGE = Script("usage_sums", "usage_adding", "usage_written", "usage")
USAGE_NOTE = Script("usage_written", "usage_note")
USAGE_TAKE_OVER = Script("usage_take_over")
USAGE_FOLD = Script("usage_sums", "usage_adding", "usage_written", "usage_fold")
USAGE_TAKE_IN = Script("usage_sums", "usage_take_in")


def with_text(command: Command) -> Command:
    """Return the command for a Redis that doesn't know the script, which it remembers then."""
    _, name, *rest = command
    return ("EVAL", _TEXTS[str(name)], *rest)


def key_of(command: Command) -> str:
    """Return the key that decides a command's slot."""
    return str(command[3] if command[0] in {"EVAL", "EVALSHA"} else command[1])
