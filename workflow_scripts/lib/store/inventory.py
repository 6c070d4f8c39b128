"""What feature stores lie in a results folder, and what is in each of them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.shard_store import reading
from workflow_scripts.lib.store.tables import read_table

DIGEST_SHOWN = 12
HEADINGS = ("dataset", "feature", "shards", "videos", "rows", "dim", "MB", "recipe", "statuses")


@dataclass(frozen=True)
class FeatureSummary:
    """One feature of one dataset.

    Attributes
    ----------
    dataset, feature : str
    n_shards : int
        Complete shards on disk.
    n_bytes : int
        Size of all shards on disk.
    n_videos, n_rows, dim : int or None
        None without an index.
    statuses : dict of str to int
        Videos (or queries) by status.
    recipe_digest : str or None
    """

    dataset: str
    feature: str
    n_shards: int
    n_bytes: int
    n_videos: int | None = None
    n_rows: int | None = None
    dim: int | None = None
    statuses: dict[str, int] | None = None
    recipe_digest: str | None = None


def find_features(folder: Path) -> list[Path]:
    """Return the feature folders below `results`, or below `results/{dataset}`.

    Raises
    ------
    UserError
        If there are none.
    """
    found = sorted(
        path
        for pattern in ("features/*", "*/features/*")
        for path in folder.glob(pattern)
        if (path / "index.parquet").exists() or any(path.glob("*.zarr"))
    )
    if not found:
        raise UserError(
            f"{folder}: no features there. Name the folder `results`, or `results/<dataset>`; features are made by "
            "`snakemake --cores all results/<dataset>/features/<feature>/index.parquet`."
        )
    return found


def feature_root(name: str, results: Path) -> Path:
    """Return the folder of a feature.

    Parameters
    ----------
    name : str
        The folder itself, or `DATASET/FEATURE` for the one below `results`.
    results : Path
        Folder of all results.

    Raises
    ------
    UserError
        If there is no such feature; those that exist are listed.
    """
    as_path = Path(name)
    if any(as_path.glob("*.zarr")) or (as_path / "index.parquet").is_file():
        return as_path
    dataset, _, feature = name.partition("/")
    root = results / dataset / "features" / feature
    if feature and root.is_dir():
        return root
    known = [f"{path.parent.parent.name}/{path.name}" for path in results.glob("*/features/*") if path.is_dir()]
    raise UserError(
        f"no feature {name!r}: neither a folder with shards nor DATASET/FEATURE below {results}. "
        f"Known: {', '.join(sorted(known)) or 'none'}."
    )


def summarise_feature(root: Path) -> FeatureSummary:
    """Return what is in a feature folder; a feature that is not complete yet has no index and fewer numbers."""
    shards = sorted(path for path in root.glob("*.zarr") if (path / "zarr.json").is_file())
    n_bytes = sum(path.stat().st_size for shard in shards for path in shard.rglob("*") if path.is_file())
    summary = FeatureSummary(root.resolve().parent.parent.name, root.resolve().name, len(shards), n_bytes)
    if not (root / "index.parquet").is_file():
        return summary
    table = read_table(root / "index.parquet", ["row_start", "row_end", "status"])
    starts, ends = (table.column(name).to_numpy() for name in ("row_start", "row_end"))
    metadata = table.schema.metadata
    return replace(
        summary,
        n_videos=len(table),
        n_rows=int((ends - starts).sum()),
        dim=int(metadata[b"dim"]),
        statuses=dict(sorted(Counter(table.column("status").to_pylist()).items())),
        recipe_digest=digest_json(json.loads(metadata[b"recipe"])),
    )


def features_table(summaries: Sequence[FeatureSummary]) -> str:
    """Return one line per feature."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    for summary in summaries:
        statuses = ", ".join(f"{name} {count}" for name, count in (summary.statuses or {}).items())
        digest = (summary.recipe_digest or "")[:DIGEST_SHOWN]
        counts = ["-" if count is None else f"{count:,}" for count in (summary.n_videos, summary.n_rows, summary.dim)]
        size = f"{summary.n_bytes / 1e6:,.1f}"
        first = (summary.dataset, summary.feature, str(summary.n_shards))
        rows.append((*first, *counts, size, digest or "-", statuses or "not indexed yet"))
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as columns, the first row being the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def describe_feature(root: Path) -> str:
    """Return sizes and recipe of a feature as text."""
    summary = summarise_feature(root)
    recipe = FeatureStore(root).recipe
    text = json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False)
    return f"{features_table([summary])}\n\nrecipe {summary.recipe_digest}\n{text}"


def describe_rows(root: Path, video_id: str) -> str:
    """Return status, times and values of one video (or query) as text."""
    store = FeatureStore(root)
    rows = store[video_id]
    lines = [
        f"id      {video_id}",
        f"status  {rows.status}" + (f": {rows.reason}" if rows.reason else ""),
        f"key     {store.key_of(video_id)}",
        f"rows    {len(rows.values)} x {store.dim}",
    ]
    if len(rows.values):
        first, last = rows.times[0], rows.times[-1]
        norms = (rows.values.astype("float64") ** 2).sum(axis=1) ** 0.5
        lines += [
            f"times   first row {first[0]:.3f} to {first[1]:.3f} s, last row {last[0]:.3f} to {last[1]:.3f} s",
            f"values  {rows.values.min():.4g} to {rows.values.max():.4g}, mean {rows.values.mean():.4g}; "
            f"row norms {norms.min():.4g} to {norms.max():.4g}",
        ]
    return "\n".join(lines)


def shard_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes in a shard's `zarr.json`.

    Raises
    ------
    StoreDamaged
        If they cannot be read.
    """
    with reading(path):
        return dict(json.loads((path / "zarr.json").read_bytes())["attributes"])
