"""Makes `Settings` of a YAML file and the environment, and names every mistake at once, each with its place.

Only `load_from_environment` looks at the process's own environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from extauth.errors import ConfigError
from extauth.settings import messages
from extauth.settings.document import Document, Mistake, read_document
from extauth.settings.document import Path as FieldPath
from extauth.settings.environment import CONFIG_VARIABLE, Overlay, read_environment, variable
from extauth.settings.files import named_files, problem_of
from extauth.settings.keys import NO_SHARED_PEPPER
from extauth.settings.model import Settings
from extauth.settings.shape import Kind, is_secret, kind_at, may_be_nothing


def load_from_environment(config_option: Path | None) -> Settings:
    """Load the file of the option, else that of `EXTAUTH_CONFIG`, under this process's environment.

    Raises:
        ConfigError: As `load_settings`.
    """
    return load_settings(config_file(config_option), os.environ)


def config_file(config_option: Path | None) -> Path | None:
    """Tell which file is to be loaded, if any: that of the option, else that of `EXTAUTH_CONFIG`."""
    named = os.environ.get(CONFIG_VARIABLE)
    return config_option or (Path(named) if named else None)


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Load the settings. Without a file, the defaults stand under the environment.

    Raises:
        ConfigError: The file can't be read, or it or the environment has mistakes; the error holds them all.
    """
    document = _read_file(path) if path else Document()
    overlay = read_environment(environ)
    places = _Places(str(path) if path else "settings", document, overlay)
    problems = [places.in_file(mistake) for mistake in document.mistakes] + overlay.problems
    if document.is_unreadable:
        raise ConfigError(problems)
    tree = _without_empty_sections(document.fields, ())
    for field_path, value in overlay.values.items():
        _lay_over(tree, field_path, value)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problems += [places.of(path, message) for path, message in messages.mistakes_in(detail)]
    else:
        problems += _missing_secrets(settings, places)
        if not problems:
            return settings
    raise ConfigError(_in_order(problems))


class _Places:
    """Knows where each value came from."""

    def __init__(self, file: str, document: Document, overlay: Overlay) -> None:
        self._file = file
        self._document = document
        self._overlay = overlay

    def in_file(self, mistake: Mistake) -> str:
        """Put file and line before a mistake of the document itself."""
        return _joined(f"{self._file}:{mistake.line}", messages.dotted(_shown(mistake.path)), mistake.message)

    def of(self, path: FieldPath, message: str) -> str:
        """Put before a mistake the variable or the line that set the field, or else its nearest parent."""
        shown = messages.dotted(_shown(path))
        for length in range(len(path), 0, -1):
            parent = path[:length]
            if source := self._overlay.sources.get(parent):
                return _joined(
                    f"environment {source}", "" if variable(path) == source.upper() else shown, message
                )
            if parent in self._document.lines:
                return _joined(f"{self._file}:{self._document.lines[parent]}", shown, message)
        return _joined(self._file, shown, message)


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _shown(path: FieldPath) -> FieldPath:
    # A name under a secret's field is a part of the secret that YAML took for a name.
    for length, step in enumerate(path):
        if isinstance(step, str) and is_secret(path[:length]):
            return path[:length]
    return path


def _read_file(path: Path) -> Document:
    try:
        document = read_document(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8"]) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a possible file name"
        raise ConfigError([f"{path}: can't be read: {why}"]) from None
    if not isinstance(document.value, dict | None):
        line = document.lines[()]
        document.mistakes.append(Mistake(line, (), "must hold a mapping, such as 'default_route: deny'"))
    return document


def _without_empty_sections(value: dict[str, Any], path: FieldPath) -> dict[str, Any]:
    """Fill sections under which every line is commented out with nothing, so that their defaults stand."""
    kept: dict[str, Any] = {}
    for name, item in value.items():
        inner = (*path, name)
        if item is None and may_be_nothing(inner):
            kept[name] = None
        elif kind_at(inner) in {Kind.SECTION, Kind.MAPPING}:
            kept[name] = _without_empty_sections(item or {}, inner) if isinstance(item, dict | None) else item
        else:
            kept[name] = item
    return kept


def _lay_over(tree: dict[str, Any], path: FieldPath, value: object) -> None:
    *parents, last = (str(step) for step in path)
    for step in parents:
        inner = tree.get(step)
        if not isinstance(inner, dict):
            inner = tree[step] = {}
        tree = inner
    tree[last] = value


def _missing_secrets(settings: Settings, places: _Places) -> list[str]:
    problems = [
        places.of(field, f"{problem.said}: {problem.mend}")
        for field, file in named_files(settings)
        if (problem := problem_of(file)) is not None
    ]
    if not (settings.store.is_embedded or settings.keys.peppers or settings.keys.peppers_file):
        problems.append(places.of(("keys", "peppers"), NO_SHARED_PEPPER))
    return problems


def _in_order(problems: list[str]) -> list[str]:
    """Sort by line within the file, keep the rest behind in the order it was found."""

    def line(problem: str) -> int:
        place = problem.split(": ", 1)[0]
        number = place.rpartition(":")[2]
        return int(number) if number.isdecimal() else 1_000_000_000

    return sorted(dict.fromkeys(problems), key=line)
