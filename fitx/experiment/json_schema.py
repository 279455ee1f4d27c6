"""The JSON Schema of experiment files, made from the same types that check them."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import TypeAdapter

from fitx.experiment.options import schema_of
from fitx.experiment.schema import Settings
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import FED, KINDS
from fitx.registry.signature import Signature


def json_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema of the whole language: fixed keys, and every part with its options."""
    schema = Settings.model_json_schema(ref_template="#/$defs/{model}")
    schema["title"] = "fitx experiment"
    names = {"type": "array", "items": {"type": "string"}}
    schema["properties"]["extends"] = {"anyOf": [{"type": "string"}, names]}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema.setdefault("$defs", {})
    for kind in KINDS:
        definitions[kind] = _kind(kind, catalogue)
    return schema


def _kind(kind: str, catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema of a part: any known name, or a mapping with that name's options."""
    names = catalogue.spellings(kind)
    signatures = [catalogue.signature(kind, name) for name in names]
    parts = [_part(signature) for signature in signatures if signature is not None]
    return {"anyOf": [{"enum": names}, *parts]}


def _part(signature: Signature) -> dict[str, Any]:
    options = copy.deepcopy(TypeAdapter(schema_of(signature)).json_schema())
    required = ["name", *options.get("required", [])]
    properties = {"name": {"const": signature.name}, **options.get("properties", {})}
    fed = FED.get(signature.kind, set())
    for parameter in signature.parameters:
        if parameter.name in properties and parameter.name in fed:
            properties[parameter.name].setdefault("description", "Filled by fitx if left out.")
    summary = signature.doc.partition("\n")[0]
    return {
        "type": "object",
        "description": summary,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
