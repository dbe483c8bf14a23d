"""The peppers: there, nobody else's to read, and all that the stored keys need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from extauth.doctor.findings import Finding, Notes
from extauth.errors import ConfigError
from extauth.keys.peppers import PEPPER_FILE, load_peppers
from extauth.keys.token import Peppers
from extauth.settings.model import Settings

_MEND = "Restore it from the copy that is kept with the store; let nobody but extauth's own user read it."


def pepper_findings(settings: Settings, needed: Mapping[str, int] | None) -> Sequence[Finding]:
    """Judge the peppers; `needed` are the living keys of each, None where the store doesn't tell."""
    notes = Notes("pepper")
    if _is_to_be_made(settings) and needed == {}:
        notes.ok("There is none yet, and no key: the first start makes one.")
        return notes.findings
    try:
        peppers = peppers_of(settings)
    except ConfigError as error:
        for problem in error.problems:
            notes.bad(f"{problem}.", _MEND)
        return notes.findings
    notes.ok(f"{len(peppers.ids)} given; new keys are made under {peppers.newest_id}.")
    _compare(notes, peppers, needed)
    return notes.findings


def peppers_of(settings: Settings) -> Peppers:
    """Return the peppers in force, and make none. Raises ConfigError, also where others may read them."""
    return load_peppers(
        given=[pepper.get_secret_value() for pepper in settings.keys.peppers],
        file=settings.keys.peppers_file,
        data_directory=settings.store.path.parent if settings.store.is_embedded else None,
        store_is_empty=False,
    )


def _is_to_be_made(settings: Settings) -> bool:
    keys, store = settings.keys, settings.store
    is_own = store.is_embedded and not keys.peppers and keys.peppers_file is None
    return is_own and not (store.path.parent / PEPPER_FILE).exists()


def _compare(notes: Notes, peppers: Peppers, needed: Mapping[str, int] | None) -> None:
    if needed is None:
        notes.warn("The store doesn't tell which peppers its keys need.", "Mend the store, and look again.")
        return
    # Of keys without a note any pepper may be the one.
    missing = {one: keys for one, keys in needed.items() if one and one not in peppers.ids}
    for pepper_id, keys in missing.items():
        notes.bad(
            f"The pepper {pepper_id} is not given, so the keys that need it don't work: {keys} of them.",
            "Put it back among keys.peppers; docs/runbooks/pepper-lost.md says what to do if it is lost.",
        )
    if not missing:
        notes.ok(f"All keys that are not revoked ({sum(needed.values())}) have theirs.")
