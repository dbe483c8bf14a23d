"""The section about the store: a file of this machine, or a Redis that servers share."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, ValidationInfo, field_validator

from extauth.settings import grammar
from extauth.settings.base import Section, kind
from extauth.settings.keys import HIDDEN
from extauth.settings.redis_url import RedisUrl, hide_password, parse_redis_url
from extauth.settings.values import Duration


def _without_password(url: str) -> str:
    return hide_password(url, HIDDEN) if url.startswith("redis") else url


class StoreSettings(Section):
    """Where keys and limiter state are kept: in a file of this machine, or in a Redis that servers share."""

    url: Annotated[
        str,
        AfterValidator(grammar.check_store_url),
        PlainSerializer(_without_password, return_type=str),
        kind("URL"),
    ] = Field(
        default="sqlite:///extauth-data/extauth.db",
        repr=False,
        description=(
            "The store. `sqlite:///` is followed by a file's path: relative to the working directory, or "
            "absolute when it begins with a fourth slash. `redis://[user:password@]host:port/database`, "
            "`redis+sentinel://host:port,host:port/service/database` and "
            "`redis+cluster://host:port,host:port` are a Redis; with `rediss` it is asked over TLS."
        ),
    )
    password_file: Path | None = Field(
        default=None,
        description=(
            "A file with the password of Redis, instead of one in the URL. It is read again for each new "
            "connection."
        ),
    )
    sentinel_password_file: Path | None = Field(
        default=None, description="A file with the password of the Sentinels, where they want one."
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificates of who may vouch for Redis, in PEM; without any, those of the system.",
    )
    certificate_file: Path | None = Field(
        default=None,
        description="The certificate that is shown to Redis, in PEM, where it asks clients for one.",
    )
    private_key_file: Path | None = Field(
        default=None, description="The private key of that certificate, in PEM."
    )
    timeout: Duration = Field(
        default=timedelta(milliseconds=250),
        description="How long one question to Redis may take, connecting included.",
    )

    @field_validator("password_file")
    @classmethod
    def _one_source_of_the_password(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        url = info.data.get("url", "")
        if file is not None and url.startswith("redis") and parse_redis_url(url).password:
            raise ValueError("give the password in 'store.url' or in 'store.password_file', not both")
        return file

    @field_validator("private_key_file")
    @classmethod
    def _key_and_certificate(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if (file is None) != (info.data.get("certificate_file") is None):
            raise ValueError("'store.certificate_file' and 'store.private_key_file' belong together")
        return file

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a file that one server has for itself."""
        return self.url.startswith("sqlite:")

    @property
    def path(self) -> Path:
        """The file of the embedded store."""
        return grammar.store_path(self.url)

    @property
    def redis(self) -> RedisUrl:
        """What the URL of a Redis says."""
        return parse_redis_url(self.url)
