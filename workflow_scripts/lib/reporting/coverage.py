"""Which rows a system had: the features of its streams on a split, and why some are missing."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.store.tables import read_table


def coverage(
    streams: Mapping[str, Any], videos: Path, annotations: Path, ids: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, list[tuple[str, str]]]]:
    """Return a row per feature, and why videos or queries lack rows of one.

    Parameters
    ----------
    streams : the system's section `streams`
    videos, annotations : results folders of the datasets that have the videos and the queries
    ids : of the videos and queries that were asked about

    Returns
    -------
    rows : stream, feature, counts by status, the most frequent reasons
    reasons : id -> stream and why, of every feature without rows
    """
    rows: list[dict[str, Any]] = []
    reasons: dict[str, list[tuple[str, str]]] = {}
    for stream, content in streams.items():
        for name in content["names"]:
            # Rows of queries go with the annotations, as their ids do.
            file = (annotations if stream == "text" else videos) / "features" / name / "index.parquet"
            if not file.is_file():
                continue
            table = read_table(file).select(["id", "status", "reason"]).to_pylist()
            own = [row for row in table if row["id"] in ids]
            lost = [row for row in own if row["status"] != "ok"]
            for row in lost:
                reasons.setdefault(row["id"], []).append((stream, f"{name}: {_why(row)}"))
            counts = Counter(row["status"] for row in own)
            why = [f"{n} x {reason}" for reason, n in Counter(map(_why, lost)).most_common(3)]
            rows.append({"stream": stream, "feature": name, "counts": counts.most_common(), "reasons": why})
    return rows, reasons


def _why(row: Mapping[str, Any]) -> str:
    return f"{row['status']} ({row['reason']})" if row["reason"] else row["status"]
