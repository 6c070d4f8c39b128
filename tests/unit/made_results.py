"""The results folder of a tiny dataset: the queries of `made_training` as canonical tables and feature stores."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.systems.interface import Item
from tests.unit.made_training import SPLIT_ENDS, made_item, made_settings, rows_of, write_annotations
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.digest import digest_bytes, digest_json
from workflow_scripts.lib.store.feature_store import write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard
from workflow_scripts.lib.store.tables import write_table

FEATURES = {"frames": "visual", "sounds": "audio", "words": "text"}
SETTINGS = {
    "config": {
        "title": "IMG",
        "protocol": "published",
        "queries": {"kinds": None, "moments": "clip"},
        "splits": {"train": "train", "select": "val", "test": ["test"]},
        "evaluation": {
            "rules": ["span_index"],
            "nms_thresholds": {},
            "reversed": "refuse",
            "published": {},
            "group_by": "kind",
            "zero_streams": ["audio"],
            "variations": {},
            "order_baseline": False,
            "batch_size": None,
        },
    },
    "train_key": "k",
}

Row = dict[str, Any]


def make_results(
    folder: Path,
    change: Callable[[str, Row], Row] = lambda table, row: row,
    status_of: Mapping[tuple[str, str], str] | None = None,
    **settings: Any,
) -> Path:
    """Write tables, features and the settings of a system, and return the settings file.

    Parameters
    ----------
    folder : `results/<dataset>`
    change : (table, row) -> row, to make some rows different
    status_of : (feature, owner) -> status other than `ok`; that owner has no rows
    settings : changes, as in `made_settings`
    """
    items = [made_item(number) for number in range(SPLIT_ENDS["test"])]
    rows = {"videos": [], "queries": [], "moments": [], "manifest": []}
    for number, item in enumerate(items):
        for table, row in rows_of(number, item).items():
            rows[table].append(change(table, row))
    write_annotations(folder / "annotations", rows)
    write_table(folder / "media" / "manifest.parquet", pa.Table.from_pylist(rows["manifest"]))
    recipes = {name: digest_json(recipe_of(name)) for name in FEATURES}
    for name, stream in FEATURES.items():
        _write_feature(folder / "features" / name, name, stream, items, rows, status_of or {})
    places = {"recipes": recipes, "whole_recipes": recipes, "annotations": folder.name, "videos": folder.name}
    content = merge(
        merge(made_settings(), {**SETTINGS, **places}),
        made_changes(settings),
    )
    path = folder / content["name"] / "settings.json"
    write_json(path, content)
    return path


def made_changes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings for keys such as `config__selection`."""
    plain, changed = made_settings(), made_settings(**settings)
    return {key: value for key, value in changed.items() if plain.get(key) != value}


def recipe_of(feature: str) -> dict[str, Any]:
    return {"encoder": feature}


def _write_feature(
    root: Path,
    name: str,
    stream: str,
    items: list[Item],
    rows: Mapping[str, list[Row]],
    status_of: Mapping[tuple[str, str], str],
) -> None:
    parts = []
    for item, query in zip(items, rows["queries"], strict=True):
        owner = query["query_id"] if stream == "text" else item.video_id
        content, status = item.streams[stream][0], status_of.get((name, owner), "ok")
        n = len(content.values) if status == "ok" else 0
        key = digest_bytes(f"{name} {owner} {query['text'] if stream == 'text' else ''}".encode())
        values = content.values[:n].astype(np.float16)
        parts.append((VideoRows(owner, key, 0, 0, status, ""), values, content.times[:n]))
    dim = items[0].streams[stream][0].values.shape[1]
    publish_shard(root / "0000.zarr", concatenate(parts, dim, "float16"), recipe_of(name))
    write_index([root / "0000.zarr"], root / "index.parquet")
