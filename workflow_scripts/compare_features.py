"""Compare two features of a dataset video by video: lengths, and cosine similarity of the rows of the same time."""

import argparse
import json
import logging
import statistics
from pathlib import Path

import pyarrow as pa

from workflow_scripts.errors import run_entry_point
from workflow_scripts.reporting.comparison_plot import plot_comparison
from workflow_scripts.store.atomic import atomic_path
from workflow_scripts.store.comparison import COMPARISON_SCHEMA, compare_stores
from workflow_scripts.store.features import FeatureStore
from workflow_scripts.store.shard_store import use_zarrs
from workflow_scripts.store.tables import write_table

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("feature", type=Path, help="index.parquet of a feature")
    parser.add_argument("other", type=Path, help="index.parquet of the feature to compare it with")
    parser.add_argument("--out", required=True, type=Path, help="table to write (Parquet)")
    parser.add_argument("--plot", required=True, type=Path, help="histograms to write (PNG)")
    args = parser.parse_args()
    use_zarrs()
    store, other = FeatureStore(args.feature.parent), FeatureStore(args.other.parent)
    if store.dim != other.dim:
        log.warning("rows of %d and of %d numbers: only lengths can be compared", store.dim, other.dim)
    table = pa.Table.from_pylist(list(compare_stores(store, other)), COMPARISON_SCHEMA)
    recipes = {"recipe": json.dumps(store.recipe, sort_keys=True), "other": json.dumps(other.recipe, sort_keys=True)}
    write_table(args.out, table, recipes)
    columns = {name: table.column(name).to_pylist() for name in ("cosine_mean", "row_difference", "max_abs_difference")}
    with atomic_path(args.plot) as temporary:
        plot_comparison(columns, f"{store.root.name} and {other.root.name}", temporary)
    cosines = [value for value in columns["cosine_mean"] if value is not None]
    n_equal_length = sum(difference == 0 for difference in columns["row_difference"])
    log.info("%d videos, %d comparable, %d of equal length", len(table), len(cosines), n_equal_length)
    if cosines:
        largest = max(value for value in columns["max_abs_difference"] if value is not None)
        middle, worst = statistics.median(cosines), min(cosines)
        log.info("mean cosine per video: median %.6f, least %.6f; largest difference %g", middle, worst, largest)


if __name__ == "__main__":
    run_entry_point(main)
