"""The settings for other programs: their JSON Schema and their effective values, with secrets hidden."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from extauth.settings.model import Settings
from extauth.settings.values import Address, format_duration


class _SchemaGenerator(GenerateJsonSchema):
    """Writes defaults as an operator would; pydantic knows the text forms of fields only, not of defaults."""

    def encode_default(self, dft: Any) -> Any:
        """Turn a default into what JSON can hold."""
        if isinstance(dft, Address):
            return str(dft)
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return super().encode_default(dft)


def settings_schema() -> dict[str, Any]:
    """Make the JSON Schema of a configuration file."""
    schema = Settings.model_json_schema(schema_generator=_SchemaGenerator)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def effective(settings: Settings) -> dict[str, Any]:
    """Turn settings into plain values in their text form; every secret is replaced by asterisks."""
    return settings.model_dump(mode="json")
