"""Read YAML files, lay one over another and validate the result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from workflow_scripts.lib.configuration.messages import Layer, explain
from workflow_scripts.lib.errors import UserError

# Every start of the workflow reads all files; libyaml is ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings whose keys are dotted (`network.dim`) as mappings in mappings."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        found = merge(found, value)
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping; an empty file is an empty mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    return content


def with_nulls(content: Any) -> Any:
    """Return content with None for every word `null`, which is how Snakemake hands over a null of `--config`."""
    if isinstance(content, Mapping):
        return {key: with_nulls(value) for key, value in content.items()}
    if isinstance(content, list):
        return [with_nulls(value) for value in content]
    return None if content == "null" else content


def validate(model: type[BaseModel], layers: list[Layer], prefix: tuple[str, ...] = ()) -> BaseModel:
    """Merge `layers` and validate the result; every problem becomes one readable line of a `UserError`.

    Parameters
    ----------
    prefix : keys under which the settings stand in their files, for messages only
    """
    merged: dict[str, Any] = {}
    for _, content in layers:
        merged = merge(merged, content)
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise UserError("\n".join(explain(model, layers, prefix, merged, error))) from None
