"""Makes the JSON Schema of experiment files from the types that check them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fitx.experiment.checks.options import accepted_options, options_type
from fitx.experiment.schema import Settings
from fitx.experiment.yaml.tree import ONE_OR_MORE
from fitx.registry import keras_parts
from fitx.registry.kinds import FILLED_BY_FITX, KINDS, PART_KEY
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import Signature

Schema = dict[str, Any]

_REFERENCE = {"type": "string", "pattern": r"\$\{env:"}
_CHANGES = {
    "type": "object",
    "description": "Options of the part that the extended file names.",
    "not": {"required": ["name"]},
}


def json_schema(part_index: PartIndex) -> Schema:
    """Return the schema of experiment files: fixed keys, and all parts with their options."""
    schema = Settings.model_json_schema()
    schema["title"] = "fitx experiment"
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    names = {"type": "array", "items": {"type": "string"}}
    text = "Files, or names of shipped experiments, that this file changes."
    extends = {"anyOf": [{"type": "string"}, names], "description": text}
    schema["properties"]["extends"] = extends
    definitions = schema.setdefault("$defs", {})
    for *sections, key in ONE_OR_MORE:
        owner = definitions[str(sections[0]).capitalize()] if sections else schema
        if "items" in owner["properties"][str(key)]:
            owner["properties"][str(key)] = _or_one(owner["properties"][str(key)])
    for kind in KINDS:
        definitions[kind] = _kind(kind, part_index)
    definitions["reference"] = _REFERENCE
    linked: Schema = _linked(schema)
    return linked


def _kind(kind: str, part_index: PartIndex) -> Schema:
    """Return the schema of one kind of part: a name, or a mapping with a name and options."""
    spellings: dict[tuple[Path, int], list[str]] = {}
    signatures: dict[tuple[Path, int], Signature] = {}
    for name in dict.fromkeys([*part_index.spellings(kind), *keras_parts.python_names(kind)]):
        signature = part_index.signature(kind, name)
        if signature is not None:
            defined = (signature.file, signature.line)
            signatures.setdefault(defined, signature)
            spellings.setdefault(defined, []).append(name)
    names = sorted(name for some in spellings.values() for name in some)
    parts = [_part(signatures[defined], spellings[defined]) for defined in spellings]
    return {"anyOf": [{"enum": names}, {"$ref": "#/$defs/reference"}, *parts, _CHANGES]}


def _part(signature: Signature, names: list[str]) -> Schema:
    """Return the schema of one part written as a mapping, with any of its names."""
    takes_options = signature.kind != "activation"
    options = TypeAdapter(options_type(signature)).json_schema() if takes_options else {}
    properties = options.get("properties", {})
    for parameter in accepted_options(signature) if takes_options else ():
        is_fed = parameter.name in FILLED_BY_FITX.get(signature.kind, set())
        # Keras does not describe all options; their source shows at least type and default.
        text = parameter.description or f"`{parameter.text}`"
        text = f"{text} Set by fitx if left out." if is_fed else text
        properties[parameter.name] = {**properties[parameter.name], "description": text}
    return {
        "type": "object",
        "description": signature.doc.partition("\n")[0],
        "properties": {"name": {"enum": names}, **properties},
        "required": ["name", *options.get("required", [])],
        "additionalProperties": False,
    }


def _linked(schema: Any) -> Any:
    """Return a schema with references to the kinds of parts; every value may be `${env:NAME}`."""
    if isinstance(schema, list):
        return [_linked(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if PART_KEY in schema:
        about = {"description": schema["description"]} if "description" in schema else {}
        return {"$ref": f"#/$defs/{schema[PART_KEY]}", **about}
    linked = {key: _linked(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        linked["properties"] = {k: _or_reference(v) for k, v in linked["properties"].items()}
    return linked


def _or_one(schema: Schema) -> Schema:
    """Return the schema of a list that also accepts a single item without a list."""
    about: Schema = {k: schema.pop(k) for k in ("description", "default", "title") if k in schema}
    is_named = {"anyOf": [{"type": "string"}, {"required": ["name"]}]}
    return {"anyOf": [schema, {"allOf": [schema["items"], is_named]}], **about}


def _or_reference(schema: Schema) -> Schema:
    """Return the schema of a number, choice or boolean that also accepts `${env:NAME}`."""
    is_scalar = schema.get("type") in ("integer", "number", "boolean") or "enum" in schema
    if not is_scalar:
        return schema
    about: Schema = {k: v for k, v in schema.items() if k in ("description", "default", "title")}
    return {"anyOf": [schema, {"$ref": "#/$defs/reference"}], **about}
