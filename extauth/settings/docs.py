"""The section about the pages for those who use the API."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from extauth.settings import grammar
from extauth.settings.base import Section


class DocsSettings(Section):
    """The pages for consumers of the API, at `/docs/` on the admin listener."""

    enabled: bool = Field(
        default=True,
        description="Whether they are served. They need no key, and hold what consumers may know.",
    )
    routes: bool = Field(
        default=True,
        description="Whether they list the routes and their scopes. Switch it off where paths are internal.",
    )
    api_url: Annotated[str, AfterValidator(grammar.check_api_url)] = Field(
        default="https://api.example.com",
        description=(
            "Where consumers find the API, for the examples. An http or https URL; a trailing slash is taken "
            "off."
        ),
    )
    title: Annotated[str, AfterValidator(grammar.check_title)] = Field(
        default="API documentation", description="What the pages are called, up to 80 characters."
    )
