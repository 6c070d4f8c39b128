"""Compare two runs query by query: difference of every metric with its confidence interval.

    python -m workflow_scripts.compare_runs results/qvh/calce/seed0/val results/qvh/external/moment_detr

The second is compared with the first: a positive difference says that the second is better (but for `invalid`).
"""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.scoring.comparison import compare_tables, comparison_text
from workflow_scripts.lib.scoring.results import PER_QUERY
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import read_table


def table_path(run: Path) -> Path:
    """Return the table of single queries of a run, given its folder or its metrics file."""
    return (run if run.is_dir() else run.parent) / PER_QUERY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder with per_query.parquet, or the metrics.json in it")
    parser.add_argument("second", type=Path, help="likewise")
    parser.add_argument("--rules", help="only this rule set")
    parser.add_argument("--resamples", type=int, default=2000, help="how often queries are drawn (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--out", type=Path, help="also write the comparison as JSON")
    args = parser.parse_args()
    paths = [table_path(args.first), table_path(args.second)]
    rows = compare_tables(*map(read_table, paths), *map(str, paths), args.rules, args.resamples, args.seed)
    print(comparison_text(rows))
    if args.out:
        write_json(args.out, {"first": str(paths[0]), "second": str(paths[1]), "comparison": rows})


if __name__ == "__main__":
    run_entry_point(main)
