"""Compare two features of a dataset video by video: lengths, and cosine similarity of the rows of the same time."""

import argparse
import json
import logging
from pathlib import Path

import pyarrow as pa

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.reporting.comparison_page import render_comparison, summary
from workflow_scripts.lib.reporting.comparison_plot import comparison_figure
from workflow_scripts.lib.store.atomic import atomic_path
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.row_comparison import COMPARISON_SCHEMA, compare_stores
from workflow_scripts.lib.store.tables import write_table

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("feature", type=Path, help="index.parquet of a feature")
    parser.add_argument("other", type=Path, help="index.parquet of the feature to compare it with")
    parser.add_argument("--out", required=True, type=Path, help="table to write (Parquet)")
    parser.add_argument("--plot", required=True, type=Path, help="histograms to write (PNG)")
    parser.add_argument("--page", required=True, type=Path, help="page with all of it to write (HTML)")
    args = parser.parse_args()
    store, other = FeatureStore(args.feature.parent), FeatureStore(args.other.parent)
    if store.dim != other.dim:
        log.warning("rows of %d and of %d numbers: only lengths can be compared", store.dim, other.dim)
    table = pa.Table.from_pylist(list(compare_stores(store, other)), COMPARISON_SCHEMA)
    recipes = {"recipe": json.dumps(store.recipe, sort_keys=True), "other": json.dumps(other.recipe, sort_keys=True)}
    write_table(args.out, table, recipes)
    rows = table.to_pylist()
    names = store.root.name, other.root.name
    columns = {name: [row[name] for row in rows] for name in ("cosine_mean", "row_difference")}
    figure = comparison_figure(columns, " and ".join(names))
    with atomic_path(args.plot) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
    page = render_comparison(names, rows, (store.recipe, other.recipe), (store.dim, other.dim), figure)
    with atomic_path(args.page) as temporary:
        temporary.write_text(page, encoding="utf-8")
    found = summary(rows)
    log.info("%(videos)d videos, %(comparable)d comparable, %(equal_length)d of equal length", found)
    if found["comparable"]:
        log.info(
            "mean cosine per video: median %(cosine_median).6f, least %(cosine_least).6f; "
            "largest difference %(max_abs_difference)g",
            found,
        )


if __name__ == "__main__":
    run_entry_point(main)
