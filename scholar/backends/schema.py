"""Forms of replies, and their JSON schemas in the dialect that servers hold a reply to."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from scholar.text import shortened

LINE = 300
"""Characters of a `Line`: two long sentences."""

_KEPT = frozenset({"type", "description", "enum", "const", "items", "anyOf", "$ref", "$defs"})
"""What every strict server knows; bounds and patterns are left to validation afterwards."""


class Reply(BaseModel):
    """Base of what an agent asks a model for: a field that nobody asked for is an error."""

    model_config = ConfigDict(extra="forbid")


def _cut(text: str) -> str:
    return shortened(text.strip(), LINE)


Line = Annotated[str, AfterValidator(_cut)]
"""A short text of a reply that later prompts show; what goes beyond LINE characters is cut off, so
that no model can fill another's context window.
"""


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model` with every property required and no other allowed."""
    return _strict(model.model_json_schema())


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema and "$defs" not in schema:
        # A reference may have no other keyword beside it.
        return {"$ref": schema["$ref"]}
    if "oneOf" in schema:
        schema = {**schema, "anyOf": schema["oneOf"]}
    strict = {key: _inside(key, value) for key, value in schema.items() if key in _KEPT}
    if schema.get("type") == "object":
        properties = {name: _strict(part) for name, part in schema.get("properties", {}).items()}
        strict |= {
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    return strict


def _inside(key: str, value: Any) -> Any:
    if key == "$defs":
        return {name: _strict(part) for name, part in value.items()}
    if key == "anyOf":
        return [_strict(part) for part in value]
    return _strict(value) if key == "items" else value
