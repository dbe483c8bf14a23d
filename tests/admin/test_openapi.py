"""The OpenAPI document, the page about the API and the API itself say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from extauth.admin.counts import AdminCounts, AdminOutcome
from extauth.admin.endpoints import ENDPOINTS
from extauth.admin.openapi import document
from extauth.admin.problems import ADMIN_PROBLEMS, AdminCode
from extauth.admin.records import AuditRecord, IssuedKeyRecord, KeyRecord
from extauth.keys.scopes import ADMIN_SCOPES
from extauth.keys.views import public, public_entry
from tests.admin.console import Console, with_console
from tests.keys import entry, record
from tests.unit.test_docs import PROBLEM_SECTIONS, page, rows, sections

DOCUMENT = document(ENDPOINTS, "/admin/v1")
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
PAGE = page("admin-api")
ENDPOINT_ROWS = {
    (row[0].strip("`").split()[0], row[0].strip("`").split()[1]): row
    for row in rows(sections(PAGE)["Endpoints"])
}
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_every_operation_has_its_row(method: str, path: str, operation: dict[str, Any]) -> None:
    """With the scope that it needs and every parameter of its query."""
    row = " ".join(ENDPOINT_ROWS[method, path])
    (scope,) = operation["security"][0]["key"]
    assert f"`{scope}`" in row
    for parameter in operation["parameters"]:
        if parameter["in"] == "query" and parameter["name"] not in {"cursor", "limit"}:
            assert f"`{parameter['name']}`" in row


def test_no_operation_has_a_row_that_does_not_exist() -> None:
    """But for the document, which isn't in itself."""
    documented = {(method, path) for method, path, _ in OPERATIONS}
    assert ENDPOINT_ROWS.keys() - documented == {("GET", "/admin/v1/openapi.json")}


def test_every_body_field_is_explained() -> None:
    """On the page, by its name."""
    for method, path, operation in OPERATIONS:
        if "requestBody" not in operation:
            continue
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[1]]
        for name in schema.get("properties", {}):
            assert f"`{name}`" in PAGE or f'"{name}"' in PAGE, (method, path, name)


def test_the_page_says_how_it_begins() -> None:
    """The command that makes the first key, and all scopes."""
    assert "extauth keys create --user-id ops --name admin --scope extauth:admin" in PAGE
    for scope in ADMIN_SCOPES:
        assert f"`{scope}`" in PAGE
    for header in ("If-Match", "ETag", "Idempotency-Key", "Idempotency-Replayed", "Retry-After"):
        assert f"`{header}`" in PAGE


def test_the_metric_is_explained() -> None:
    """With all of its labels, and the log lines that go with it."""
    (family,) = AdminCounts().collect()
    assert f"`{family.name}_total" in PAGE
    for outcome in AdminOutcome:
        assert f"`{outcome}`" in PAGE or f'"{outcome}"' in PAGE
    for event in ("admin_login_failed", "admin_change"):
        assert f"`{event}`" in PAGE


def test_the_page_says_that_pages_may_be_short() -> None:
    """So does the document: a client that stops at the first short page would miss keys."""
    assert re.search(r"fewer .* than asked for", PAGE)
    for path in ("/admin/v1/keys", "/admin/v1/audit"):
        assert DOCUMENT["paths"][path]["get"]["description"]
    for name in ("KeyList", "AuditList"):
        about = DOCUMENT["components"]["schemas"][name]["properties"]["next_cursor"]["description"]
        assert "not be the last" in about


def test_every_problem_of_the_admin_listener_is_listed() -> None:
    """With its status, and no others."""
    listed = {row[0]: row[1] for row in rows(PROBLEM_SECTIONS["Problems of the admin listener"])}
    assert listed == {f"`{code}`": str(kind.status) for code, kind in ADMIN_PROBLEMS.items()}
    assert ADMIN_PROBLEMS.keys() == set(AdminCode)


def test_every_problem_is_in_the_document() -> None:
    """At every operation that can be refused with it, by its status."""
    for method, path, operation in OPERATIONS:
        statuses = operation["responses"].keys()
        assert {"400", "401", "403", "405", "429", "500", "503"} <= statuses
        assert ("404" in statuses) == ("{" in path)
        assert ({"413", "415", "422"} <= statuses) == (method != "GET")
        conditional = any(parameter["name"] == "If-Match" for parameter in operation["parameters"])
        assert ("412" in statuses) == conditional == ("{key_id}" in path and method != "GET")


def test_records_have_the_members_that_are_documented() -> None:
    """A field that a record gets must be documented before it is shown."""
    assert public(record()).keys() == KeyRecord.model_fields.keys()
    assert public_entry(entry()).keys() == AuditRecord.model_fields.keys()
    assert IssuedKeyRecord.model_fields.keys() - KeyRecord.model_fields.keys() == {"key"}
    KeyRecord.model_validate(public(record()))
    AuditRecord.model_validate(public_entry(entry()))


def test_the_document_is_served_to_everybody(tmp_path: Path) -> None:
    """It holds no secret; tools fetch it without a key."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("GET", "/openapi.json", key="")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == DOCUMENT
        assert answer.json()["openapi"] == "3.1.0"

    with_console(tmp_path, scenario)


def test_no_default_is_null() -> None:
    """Null would be refused: what is left out has no value that could be sent."""
    defaults = [
        schema["default"]
        for model in DOCUMENT["components"]["schemas"].values()
        for schema in model.get("properties", {}).values()
        if "default" in schema
    ]
    assert None not in defaults
    assert defaults
