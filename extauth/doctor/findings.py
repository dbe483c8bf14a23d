"""What examinations find, and how they are run: beside each other, none of them for ever."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from extauth.errors import ExtauthError


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing, and one that says how to mend it where something is wrong."""

    examination: str
    level: Level
    said: str
    mend: str = ""

    def plain(self) -> dict[str, str]:
        """Return it for programs."""
        return {
            "examination": self.examination,
            "level": self.level.value,
            "said": self.said,
            "mend": self.mend,
        }


class Notes:
    """The findings of one examination, in the order in which they are made."""

    def __init__(self, examination: str) -> None:
        self._examination = examination
        self.findings: list[Finding] = []

    def ok(self, said: str) -> None:
        """Note what is as it should be."""
        self.findings.append(Finding(self._examination, Level.OK, said))

    def warn(self, said: str, mend: str) -> None:
        """Note what somebody should know, and may want as it is."""
        self.findings.append(Finding(self._examination, Level.WARN, said, mend))

    def bad(self, said: str, mend: str) -> None:
        """Note what has to be mended."""
        self.findings.append(Finding(self._examination, Level.BAD, said, mend))


Examination = Callable[[], Awaitable[Sequence[Finding]]]


async def examine(examinations: Mapping[str, Examination], *, within_seconds: float) -> list[Finding]:
    """Run all examinations, and return what they find, in their order."""
    found = await asyncio.gather(
        *(_one(name, examination, within_seconds) for name, examination in examinations.items())
    )
    return [finding for findings in found for finding in findings]


async def _one(name: str, examination: Examination, within_seconds: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(within_seconds):
            return await examination()
    except TimeoutError:
        said, mend = f"No answer within {within_seconds:g} s.", "See why what it asks hangs."
    except ExtauthError as error:
        said, mend = f"{error}.", "Mend that, and look again."
    except OSError as error:
        said, mend = f"{error.filename}: {error.strerror}.", "Let who runs this read it, and look again."
    except Exception as fault:  # noqa: BLE001 - a fault in one examination must not hide what others find
        said, mend = f"A fault of extauth: {type(fault).__name__}.", "Report it."
    return [Finding(name, Level.BAD, said, mend)]
