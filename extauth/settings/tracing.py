"""The section about traces: who gets them, and under which name."""

from __future__ import annotations

import urllib.parse
from typing import Annotated

from pydantic import AfterValidator, Field

from extauth.settings import grammar
from extauth.settings.base import Section, kind


def _check_endpoint(text: str) -> str:
    url = grammar.check_docs_url(text)
    if not urllib.parse.urlsplit(url).path:
        raise ValueError("must name the path too, such as http://127.0.0.1:4318/v1/traces")
    return url


class TracingSettings(Section):
    """Traces of checks for OpenTelemetry. They join the trace in which the proxy asks."""

    endpoint: Annotated[str, AfterValidator(_check_endpoint), kind("URL")] | None = Field(
        default=None,
        description=(
            "Where spans are sent: a collector's URL for OTLP over HTTP, such as "
            "`http://127.0.0.1:4318/v1/traces`. Without one there are no traces. A check has spans where its "
            "proxy says in `traceparent` that the trace is recorded."
        ),
    )
    service_name: Annotated[str, AfterValidator(grammar.check_printable)] = Field(
        default="extauth", min_length=1, description="What traces call this service (`service.name`)."
    )
