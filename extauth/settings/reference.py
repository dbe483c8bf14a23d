"""The reference of all settings, in Markdown: what docs/configuration.md ends with.

Everything is taken from the JSON Schema, so a field can't be there without its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from extauth.settings.base import KIND

Node = dict[str, Any]
_HEAD = "| Field | Type | Default | Environment | Meaning |\n|---|---|---|---|---|\n"
_KINDS = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}


class Reference:
    """Reads a schema of the settings (`schema.settings_schema`)."""

    def __init__(self, schema: Node) -> None:
        self._schema = schema
        self.fields: dict[str, Node] = dict(self._fields_of(schema, ""))
        """All fields but sections by their paths: `store.url`, `routes[].path`, `tiers.NAME.rates`."""

    def markdown(self) -> str:
        """Return a heading and a table for each section, from `###` down."""
        return "\n".join(self._part(name) for name in self._schema["properties"])

    def _part(self, name: str) -> str:
        """Return what there is about a top-level field, and the sections in it."""
        inside = [path for path in self.fields if path == name or path.startswith((f"{name}.", f"{name}["))]
        apart = {
            f"{name}.{inner}": field["description"]
            for inner, field in self._properties(self._schema["properties"][name]).items()
            if "$ref" in field and "properties" in self._resolved(field)
        }
        own = [path for path in inside if not path.startswith(tuple(f"{each}." for each in apart))]
        parts = [self._table(name, self._about(name), own)]
        for each, about in apart.items():
            parts.append(self._table(each, about, [path for path in inside if path.startswith(f"{each}.")]))
        return "\n".join(parts)

    def _about(self, name: str) -> str:
        field = self._schema["properties"][name]
        section = self._resolved(field)
        for below in (field.get("items"), field.get("additionalProperties")):
            section = self._resolved(below) if below else section
        return " ".join(section["description"].split()) if "properties" in section else ""

    def _table(self, name: str, about: str, paths: list[str]) -> str:
        intro = f"{about}\n\n" if about else ""
        return f"### {name}\n\n{intro}{_HEAD}" + "".join(map(self._row, paths))

    def _row(self, path: str) -> str:
        field = self.fields[path]
        cells = (f"`{path}`", self._type(field), _default(field), _variable(path), field["description"])
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"

    def _fields_of(self, node: Node, prefix: str) -> Iterator[tuple[str, Node]]:
        for name, field in node["properties"].items():
            path = f"{prefix}{name}"
            if inner := self._properties(field):
                yield from self._fields_of({"properties": inner}, f"{path}.")
                continue
            yield path, field
            for section in map(self._properties, field.get("anyOf", ())):
                # A section that may be left out; a rate's mapping stands in a form of its own.
                if section:
                    yield from self._fields_of({"properties": section}, f"{path}.")
            for key, step in (("items", "[]."), ("additionalProperties", ".NAME.")):
                if below := self._properties(field.get(key)):
                    yield from self._fields_of({"properties": below}, f"{path}{step}")

    def _properties(self, node: Any) -> Node:
        found: Node = self._resolved(node).get("properties", {}) if isinstance(node, dict) else {}
        return found

    def _resolved(self, node: Node) -> Node:
        name = node.get("$ref", "").removeprefix("#/$defs/")
        resolved: Node = self._schema["$defs"][name] if name else node
        return resolved

    def _type(self, field: Node) -> str:
        node = self._resolved(field)
        if KIND in node:
            return str(node[KIND])
        alternatives = [each for each in node.get("anyOf", ()) if each.get("type") != "null"]
        if alternatives:
            return self._type(alternatives[0])
        if "enum" in node:
            return " | ".join(f"`{value}`" for value in node["enum"])
        if node.get("type") == "array":
            kind = self._type(node["items"])
            return f"list of {kind if kind.startswith('text') else f'{kind}s'}"
        if "properties" in node:
            return "section"
        return f"{_kind(node)}{_bounds(node)}"


def _kind(node: Node) -> str:
    if node["type"] == "object":
        return "mapping of names"
    if node.get("format") == "password":
        return "text, secret"
    return "path" if node.get("format") == "path" else _KINDS[node["type"]]


def _bounds(node: Node) -> str:
    least, above, most = (node.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if least is not None:
        return f", {least} or more" if most is None else f", {least} to {most}"
    return "" if above is None else f", above {above}, at most {most}"


def _default(field: Node) -> str:
    if "default" not in field:
        return "required"
    if isinstance(field["default"], str):
        return f"`{field['default']}`"
    text = yaml.safe_dump(field["default"], default_flow_style=True, width=1000, sort_keys=True)
    # PyYAML ends a document that is a single plain value with three dots.
    return f"`{text.replace('...', '').strip()}`"


def _variable(path: str) -> str:
    if "[]" in path:
        return f"in `EXTAUTH_{path.partition('[')[0].upper()}`"
    return f"`EXTAUTH_{path.upper().replace('.', '__')}`"
