"""The files that the settings name: there, to be read, and in the form in which a server takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from extauth.doctor.findings import Finding, Notes
from extauth.settings.files import FileProblem, named_files, problem_of
from extauth.settings.model import Settings
from extauth.settings.throttle import check_token

_AGAIN = "write the secret there as text, and nothing else"
_PEPPERS = ("keys", "peppers_file")


def secret_findings(settings: Settings) -> Sequence[Finding]:
    """Judge each file that a setting names, without saying what stands in it."""
    notes, usable = Notes("secrets"), 0
    for field, file in named_files(settings):
        if field == _PEPPERS:
            # It is judged together with what the stored keys need.
            continue
        problem = problem_of(file) or _wrong_in(field, file)
        if problem is None:
            usable += 1
        else:
            notes.bad(f"{'.'.join(field)}: {problem.said}.", f"{problem.mend[0].upper()}{problem.mend[1:]}.")
    if usable and not notes.findings:
        notes.ok(f"All files that the settings name hold what they should ({usable}).")
    return notes.findings


def _wrong_in(field: tuple[str, str], file: Path) -> FileProblem | None:
    """Tell what is wrong with what stands in a file; None where nothing is."""
    check = _CHECKS.get(field)
    try:
        if check is not None:
            check(file.read_text(encoding="utf-8").strip())
    except UnicodeDecodeError:
        return FileProblem(f"{str(file)!r} is not UTF-8 text", _AGAIN)
    except ValueError as error:
        return FileProblem(f"{str(file)!r}: {error}", _AGAIN)
    except OSError as error:
        return FileProblem(f"{str(file)!r} can't be read: {error.strerror}", "see to its disk")
    return None


def _check_password(text: str) -> None:
    if not text:
        raise ValueError("no password stands in it")


_CHECKS: Mapping[tuple[str, str], Callable[[str], object]] = {
    ("store", "password_file"): _check_password,
    ("store", "sentinel_password_file"): _check_password,
    ("throttle", "token_file"): check_token,
}
