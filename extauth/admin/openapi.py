"""The OpenAPI 3.1 document of the admin API, made from its table of endpoints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from extauth import __version__
from extauth.admin.endpoint import Endpoint
from extauth.admin.problems import ADMIN_PROBLEMS, PROBLEM_TYPE
from extauth.admin.records import ProblemBody
from extauth.admin.values import KEY_ID
from extauth.keys.idempotency import LONGEST_KEY
from extauth.keys.scopes import ADMIN, ADMIN_SCOPES

_REF = "#/components/schemas/{model}"
_SCHEME = "key"
_DESCRIPTION = f"""\
Manages the keys and the bans of extauth. Callers authenticate with keys of extauth itself, which hold the
scopes {", ".join(f"`{scope}`" for scope in ADMIN_SCOPES)}; `{ADMIN}` stands for all of them.
Unknown fields and unknown query parameters are refused. Times are RFC 3339 in UTC; fractions of a second are
cut off. No answer may be stored.
"""
_OF_EVERY_ENDPOINT = (400, 401, 403, 405, 429, 500, 503)
_OF_BODIES = (413, 415, 422)


class _AskedSchemas(GenerateJsonSchema):
    """The schemas of what is asked, without the null that stands for what was left out."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def document(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = paths.setdefault(prefix + endpoint.path, {})
        path[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "extauth admin API", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(endpoints),
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"{endpoint.description}\n\nNeeds the scope `{endpoint.scope}`.".lstrip(),
        "security": [{_SCHEME: [endpoint.scope]}],
        "parameters": [*_parameters(endpoint)],
        "responses": _responses(endpoint),
    }
    if endpoint.changes:
        schema = {"$ref": _REF.format(model=endpoint.asked.__name__)}
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    if endpoint.of_one_key:
        schema: dict[str, Any] = {"type": "string", "pattern": f"^{KEY_ID.pattern}$"}
        yield {"name": "key_id", "in": "path", "required": True, "schema": schema}
    if endpoint.of_one_ban:
        about = "The ban's id, or its subject."
        yield {
            "name": "ban",
            "in": "path",
            "required": True,
            "description": about,
            "schema": {"type": "string", "minLength": 1},
        }
    if endpoint.conditional:
        about = 'Only change this version, such as `"3"`: the ETag of a record.'
        yield {"name": "If-Match", "in": "header", "description": about, "schema": {"type": "string"}}
    if endpoint.repeatable:
        about = "A name for this request, chosen by the client, under which it can be repeated."
        schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY}
        yield {"name": "Idempotency-Key", "in": "header", "description": about, "schema": schema}
    if not endpoint.changes:
        properties = endpoint.asked.model_json_schema(schema_generator=_AskedSchemas).get("properties", {})
        for name, schema in properties.items():
            about = schema.pop("description", "")
            yield {"name": name, "in": "query", "description": about, "schema": schema}


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    answers = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": _headers(_answer_headers(endpoint, status)),
            "content": {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}},
        }
        for status, model in endpoint.answers.items()
    }
    return {**answers, **{str(status): _refusal(status) for status in sorted(_refusals(endpoint))}}


def _refusals(endpoint: Endpoint) -> set[int]:
    statuses = set(_OF_EVERY_ENDPOINT)
    if endpoint.of_one_key or endpoint.of_one_ban:
        statuses.add(404)
    if endpoint.changes:
        statuses.update(_OF_BODIES)
    if endpoint.conditional:
        statuses.add(412)
    if endpoint.conflicts:
        statuses.add(409)
    return statuses


def _refusal(status: int) -> dict[str, Any]:
    codes = [code for code, kind in ADMIN_PROBLEMS.items() if kind.status == status]
    return {
        "description": " or ".join(f"`{code}`" for code in codes),
        "headers": _headers({"Cache-Control": _TEXT, **_REFUSAL_HEADERS.get(status, {})}),
        "content": {PROBLEM_TYPE: {"schema": {"$ref": _REF.format(model=ProblemBody.__name__)}}},
    }


_TEXT: Mapping[str, Any] = {"type": "string"}
_ENTITY_TAG = {"ETag": {"type": "string", "pattern": '^"[0-9]+"$'}}
_REFUSAL_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": _TEXT},
    403: {"WWW-Authenticate": _TEXT},
    405: {"Allow": _TEXT},
    412: _ENTITY_TAG,
    415: {"Accept": _TEXT},
    429: {"Retry-After": {"type": "integer"}},
    503: {"Retry-After": {"type": "integer"}},
}


def _answer_headers(endpoint: Endpoint, status: int) -> Mapping[str, Any]:
    headers: dict[str, Any] = {"Cache-Control": _TEXT}
    if endpoint.tagged:
        headers |= _ENTITY_TAG
    if status == HTTPStatus.CREATED or endpoint.repeatable:
        headers["Location"] = {"type": "string", "format": "uri-reference"}
    if status == HTTPStatus.OK and endpoint.repeatable:
        headers["Idempotency-Replayed"] = {"const": "true"}
    return headers


def _headers(schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"required": True, "schema": schema} for name, schema in schemas.items()}


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    asked = {endpoint.asked for endpoint in endpoints if endpoint.changes}
    shown: set[type[BaseModel]] = {ProblemBody}
    shown.update(model for endpoint in endpoints for model in endpoint.answers.values())
    return {**_definitions(asked, _AskedSchemas), **_definitions(shown, GenerateJsonSchema)}


def _definitions(
    models: Collection[type[BaseModel]], generator: type[GenerateJsonSchema]
) -> Mapping[str, JsonSchemaValue]:
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schema = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=_REF, schema_generator=generator
    )
    definitions: Mapping[str, JsonSchemaValue] = schema["$defs"]
    return definitions
