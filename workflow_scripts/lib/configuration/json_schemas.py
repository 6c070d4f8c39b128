"""JSON schemas of the configuration files, for editors: completion, meaning and wrong keys while a person types."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from workflow_scripts.lib.configuration.schema import (
    AudioFeature,
    Dataset,
    ImportedFeature,
    ImportedTranscripts,
    PublishedResults,
    Rate,
    Root,
    SpeechFeature,
    SpokenFeature,
    System,
    TextFeature,
    TranscriptFeature,
    VisualFeature,
    Weight,
)

EXTENDABLE: dict[str, type[BaseModel]] = {
    "dataset": Dataset,
    "visual_feature": VisualFeature,
    "audio_feature": AudioFeature,
    "speech_feature": SpeechFeature,
    "transcript_feature": TranscriptFeature,
    "spoken_feature": SpokenFeature,
    "text_feature": TextFeature,
    "imported_feature": ImportedFeature,
    "imported_transcripts": ImportedTranscripts,
    "system": System,
}
"""Name of a schema -> model of the files that it describes, which may say `extends`."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RATE_PATTERN = Rate.__metadata__[0].pattern


def schema_texts() -> dict[str, str]:
    """Return the schemas as file name -> text.

    Notes
    -----
    A file that extends another one need not hold what that one has, at any depth: its schema requires nothing. What is
    missing after all is said when the workflow starts.
    """
    schemas = {"config": _schema(Root), "published": _schema(PublishedResults), "weights": _registry(_schema(Weight))}
    schemas |= {name: _with_extends(_schema(model)) for name, model in EXTENDABLE.items()}
    return {f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in sorted(schemas.items())}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": DIALECT, **_each_node(model.model_json_schema(), _number_or_text)}


def _number_or_text(node: dict[str, Any]) -> dict[str, Any]:
    """Let `rate: 2` be as good as `rate: "2"`: YAML reads a number where no quotes are."""
    return {**node, "type": ["string", "number"]} if node.get("pattern") == RATE_PATTERN else node


def _without_required(node: dict[str, Any]) -> dict[str, Any]:
    is_list_of_names = isinstance(node.get("required"), list)
    return {key: value for key, value in node.items() if key != "required" or not is_list_of_names}


def _with_extends(schema: dict[str, Any]) -> dict[str, Any]:
    extends = {"type": "string", "description": "name of the file of this folder that is laid under this one"}
    relaxed = _each_node(schema, _without_required)
    return {**relaxed, "properties": {"extends": extends, **relaxed["properties"]}}


def _registry(entry: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in entry.items() if key not in ("$schema", "$defs")}
    return {
        "$schema": DIALECT,
        "$defs": entry["$defs"],
        "title": "Weights",
        "description": "`config/weights.yaml`: name -> entry.",
        "type": "object",
        "additionalProperties": inner,
    }


def _each_node(node: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a schema with `change` applied to every mapping in it."""
    if isinstance(node, dict):
        return change({key: _each_node(value, change) for key, value in node.items()})
    if isinstance(node, list):
        return [_each_node(value, change) for value in node]
    return node
