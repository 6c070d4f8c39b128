"""Print the table of a metrics file."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.reporting.table import metrics_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="results/<dataset>/<system>/metrics.json")
    args = parser.parse_args()
    print(metrics_table(json.loads(args.metrics.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    run_entry_point(main)
