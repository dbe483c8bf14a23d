"""The section about how much one process takes on at a time, and who tells it that requests ended."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from extauth.settings.base import Section, Whole
from extauth.settings.keys import HIDDEN
from extauth.settings.networks import LOOPBACK, NetworkText

# RFC 6750 section 2.1: what a bearer token may be made of.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
SHORTEST_TOKEN = 16


def check_token(token: str) -> str:
    """Check a bearer token. Raises ValueError, with a sentence that doesn't repeat it."""
    if len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
        raise ValueError(
            f"a token needs at least {SHORTEST_TOKEN} letters, digits and characters of '._~+/-'"
        )
    return token


def _check_secret(token: SecretStr) -> SecretStr:
    check_token(token.get_secret_value())
    return token


Token = Annotated[
    SecretStr, AfterValidator(_check_secret), PlainSerializer(lambda _: HIDDEN, return_type=str)
]


class ThrottleSettings(Section):
    """How much one process takes on at a time, and who may tell it that requests ended.

    Beyond that it refuses at once, instead of being slow for everybody.
    """

    max_checks: Whole = Field(
        default=1_000,
        ge=1,
        description=(
            "How many checks may wait in one worker for the store or for argon2. One more that would have to "
            "is answered 503 `overloaded` at once; those that need not wait are answered as ever. The "
            "default is what a fast process answers within `failure.deadline`: 20,000 checks a second, for "
            "50 ms."
        ),
    )
    sources: tuple[NetworkText, ...] = Field(
        default=LOOPBACK,
        description=(
            "Networks of proxies that may report the end of requests to `listen.completion`; what comes from "
            "elsewhere is not read. Who reaches a unix socket always may."
        ),
    )
    token: Token | None = Field(
        default=None,
        description=(
            "What proxies must send as `Authorization: Bearer` with such reports over HTTP; at least 16 "
            "characters. Datagrams can't carry one: for them `sources` decides alone."
        ),
    )
    token_file: Path | None = Field(
        default=None, description="A file with that token alone in it, instead of `token`."
    )

    @field_validator("token_file")
    @classmethod
    def _one_source_of_the_token(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("token") is not None:
            raise ValueError("give 'throttle.token' or 'throttle.token_file', not both")
        return file
