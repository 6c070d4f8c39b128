"""Queries that the canonical tables lack because their videos cannot be used, and how many of them there are."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.datasets.annotation_tables import Annotations

METADATA_KEY = "left_out"


def leave_out(annotations: Annotations, unusable: Mapping[str, str]) -> list[dict[str, Any]]:
    """Drop videos with everything that is said about them.

    Parameters
    ----------
    annotations : Annotations
        Changed in place.
    unusable : dict of str to str
        Media status of every video to drop.

    Returns
    -------
    list of dict
        How many queries are lost, per `split`, `kind` (None where queries have none) and `reason`.
    """
    if not unusable:
        return []
    lost = [row for row in annotations.queries if row["video_id"] in unusable]
    lost_ids = {row["query_id"] for row in lost}
    for name in ("videos", "queries", "moments", "saliency", "steps", "captions", "transcripts"):
        rows = getattr(annotations, name)
        rows[:] = [r for r in rows if r.get("video_id") not in unusable and r.get("query_id") not in lost_ids]
    counts = Counter((row["split"], query_kind(row), f"video {unusable[row['video_id']]}") for row in lost)
    return [
        {"split": split, "kind": kind, "reason": reason, "queries": n}
        for (split, kind, reason), n in sorted(counts.items(), key=str)
    ]


def query_kind(row: Mapping[str, Any]) -> str | None:
    """Return the kind of a query of the canonical table, if its source names one."""
    return json.loads(row.get("extra_json") or "{}").get("kind")


def left_out_queries(queries: pa.Table, split: str, kinds: Collection[str] | None) -> Counter[str]:
    """Return how many queries of a split the tables lack, by reason.

    Parameters
    ----------
    queries : pyarrow.Table
        As read from `queries.parquet`, metadata included.
    split : str
    kinds : collection of str or None
        Only queries of these kinds; None: all.
    """
    counts: Counter[str] = Counter()
    for row in json.loads((queries.schema.metadata or {}).get(METADATA_KEY.encode(), b"[]")):
        if row["split"] == split and (kinds is None or row["kind"] in kinds):
            counts[row["reason"]] += row["queries"]
    return counts
