"""The faults that extauth raises. A denial is not among them: it is a `Decision`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class ExtauthError(Exception):
    """The root of all faults that extauth raises on purpose; its text is fit to be shown to an operator."""


class ConfigError(ExtauthError):
    """The configuration can't be used.

    `problems` holds one line for each mistake, with file and line where known.
    """

    def __init__(self, problems: list[str]) -> None:
        """Keep all mistakes, so that they can be shown at once."""
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(ExtauthError):
    """The store did not answer, or answered nonsense. Trying again later may help."""


class NotFoundError(ExtauthError):
    """Nothing is stored under that id."""


class ConflictError(ExtauthError):
    """The record exists already, or somebody else changed it first."""


class TooManyKeysError(ConflictError):
    """The user has as many keys as the policy allows."""


class ForbiddenError(ExtauthError):
    """The caller may not do this, whatever the input."""


class InvalidInputError(ExtauthError):
    """A caller of the key service asked for something that can't be: an unknown tier, a malformed scope.

    `mistakes` pairs each field with what is wrong about it; the field is empty where none is to blame.
    """

    def __init__(self, message: str, mistakes: Sequence[tuple[str, str]] = ()) -> None:
        """Keep the mistakes apart, so that each can be shown at its field."""
        super().__init__(message)
        self.mistakes = tuple(mistakes) or (("", message),)

    @classmethod
    def of(cls, mistakes: Sequence[tuple[str, str]]) -> Self:
        """Make one of several mistakes."""
        return cls("; ".join(message for _, message in mistakes), mistakes)


class SecretMismatchError(ExtauthError):
    """A secret is not the one that was issued.

    Raised rather than returned, so that nobody can forget to look.
    """


class MalformedKeyError(ExtauthError):
    """The text is not shaped like a key at all."""


class OverloadedError(ExtauthError):
    """There is no room for more work of this kind now. `retry_after` is in whole seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        """Keep the advice for the caller beside the message."""
        super().__init__(message)
        self.retry_after = retry_after
